// Batches of frames between a packet fd (TAP: one read or write is one frame) and buffers in
// one view, at a call a batch. The fd has to be in non-blocking mode.
#include "shim.h"

#include <unistd.h>

typedef struct {
  int fd;
  uint8_t *base;
  ixy_int32s offsets;
  ixy_int32s lengths;
  size_t n;
} batch;

// Offsets are bit patterns of u32: an arena reaches to 4 GiB.
static batch read_batch(ixy_args *args, bool writing, size_t max_length) {
  batch b;
  b.fd = ixy_arg_fd(args, 0);
  ixy_view view = ixy_arg_view(args, 1);
  b.base = view.data;
  b.offsets = ixy_arg_int32s(args, 2, false);
  b.lengths = ixy_arg_int32s(args, 3, false);
  b.n = (size_t)ixy_arg_int(args, 4, 0, INT_MAX);
  if (args->failed) return b;
  if (b.n > b.offsets.count) ixy_args_fail(args, 2, "an Int32Array of n words", true);
  if (b.n > b.lengths.count) ixy_args_fail(args, 3, "an Int32Array of n words", true);
  for (size_t i = 0; i < b.n && !args->failed; i++) {
    int64_t length = writing ? b.lengths.data[i] : (int64_t)max_length;
    ixy_view_slice(args, 1, view, (uint32_t)b.offsets.data[i], length);
  }
  return b;
}

static int64_t outcome(ssize_t result, size_t moved) {
  if (result < 0 && errno != EAGAIN && moved == 0) return -(int64_t)errno;
  return (int64_t)moved;
}

static napi_value js_readFrames(napi_env env, napi_callback_info info) {
  ixy_args args;
  ssize_t result = 0;
  ixy_args_read(&args, env, info, "readFrames");
  int64_t max_length = ixy_arg_int(&args, 5, 1, INT_MAX);
  batch b = read_batch(&args, false, (size_t)max_length);
  if (args.failed) return NULL;
  size_t moved = 0;
  while (moved < b.n) {
    IXY_RETRY(result, read(b.fd, b.base + (uint32_t)b.offsets.data[moved], (size_t)max_length));
    if (result <= 0) break;
    b.lengths.data[moved++] = (int32_t)result;
  }
  return ixy_number(env, outcome(result, moved));
}

static napi_value js_writeFrames(napi_env env, napi_callback_info info) {
  ixy_args args;
  ssize_t result = 0;
  ixy_args_read(&args, env, info, "writeFrames");
  batch b = read_batch(&args, true, 0);
  if (args.failed) return NULL;
  size_t moved = 0;
  while (moved < b.n) {
    IXY_RETRY(result, write(b.fd, b.base + (uint32_t)b.offsets.data[moved],
                            (size_t)b.lengths.data[moved]));
    if (result < 0) break;
    moved++;
  }
  return ixy_number(env, outcome(result, moved));
}

static const napi_property_descriptor functions[] = {IXY_METHOD(readFrames),
                                                     IXY_METHOD(writeFrames)};
const ixy_table ixy_frame_table = IXY_TABLE(functions);

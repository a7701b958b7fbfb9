// Batches of frames between a packet fd (TAP: one read or write is one frame) and buffers in
// one view, at a call a batch. The fd has to be in non-blocking mode.
#include "shim.h"

#include <unistd.h>

typedef struct {
  int fd;
  uint8_t *base; // of the view
  ixy_int32s offsets;
  ixy_int32s lengths;
  size_t n;
} batch;

// Reads arguments 0 to 4. Offsets are bit patterns of u32, since an arena reaches to 4 GiB.
static batch read_batch(ixy_args *args, bool writing, size_t max_length) {
  batch b;
  b.fd = ixy_arg_fd(args, 0);
  ixy_view view = ixy_arg_view(args, 1);
  b.base = view.data;
  b.n = (size_t)ixy_arg_int(args, 4, 0, INT_MAX);
  b.offsets = ixy_arg_int32s(args, 2, b.n);
  b.lengths = ixy_arg_int32s(args, 3, b.n);
  for (size_t i = 0; i < b.n && !args->failed; i++) {
    int64_t length = writing ? b.lengths.data[i] : (int64_t)max_length;
    ixy_view_slice(args, 1, view, (uint32_t)b.offsets.data[i], length);
  }
  return b;
}

// What to return for a batch that stopped at `result`: an errno only when no frame moved.
static int64_t outcome(int64_t result, size_t moved) {
  return result < 0 && result != -EAGAIN && moved == 0 ? result : (int64_t)moved;
}

static int64_t js_readFrames(ixy_args *args) {
  size_t max_length = (size_t)ixy_arg_int(args, 5, 1, INT_MAX), moved = 0;
  batch b = read_batch(args, false, max_length);
  int64_t result = 0;
  while (!args->failed && moved < b.n) {
    result = IXY_CALL(read(b.fd, b.base + (uint32_t)b.offsets.data[moved], max_length));
    if (result <= 0) break;
    b.lengths.data[moved++] = (int32_t)result;
  }
  return outcome(result, moved);
}

static int64_t js_writeFrames(ixy_args *args) {
  batch b = read_batch(args, true, 0);
  int64_t result = 0;
  size_t moved = 0;
  for (; !args->failed && moved < b.n; moved++) {
    const uint8_t *frame = b.base + (uint32_t)b.offsets.data[moved];
    result = IXY_CALL(write(b.fd, frame, (size_t)b.lengths.data[moved]));
    if (result < 0) break;
  }
  return outcome(result, moved);
}

static const ixy_function functions[] = {IXY_FUNCTION(readFrames), IXY_FUNCTION(writeFrames)};
const ixy_table ixy_frame_table = IXY_TABLE(functions);

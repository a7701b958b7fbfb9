// Messages with file descriptors, and one request with its reply in a single call. Framing only: a
// message is 16 bytes of header or more, and says its whole size in the little-endian 32-bit word
// at byte 4 (vfio-user spec, "Header"). Nothing else is read.
#include "shim.h"

#include <string.h>

#define HEADER_BYTES 16
#define SIZE_AT 4

// Two arguments from `index` on: an Int32Array of fds or null, and how many of them count.
static ixy_int32s read_fds(ixy_args *args, int index) {
  ixy_int32s fds = ixy_arg_int32s_or_null(args, index);
  size_t count = (size_t)ixy_arg_int(args, index + 1, 0, IXY_MAX_FDS);
  if (count > fds.count) ixy_args_fail(args, index + 1, "no more fds than given", true);
  return (ixy_int32s){fds.data, count};
}

// An Int32Array for the fds that come, or null for none.
static ixy_fd_list read_fd_list(ixy_args *args, int index) {
  ixy_int32s fds = ixy_arg_int32s_or_null(args, index);
  if (fds.count > 0) fds.data[0] = 0;
  return (ixy_fd_list){fds.data, fds.count};
}

static int64_t receive_message(int fd, ixy_view into, ixy_fd_list out, int64_t deadline_ms) {
  uint32_t size;
  if (into.bytes < HEADER_BYTES) return -EMSGSIZE;
  int64_t bad = ixy_receive_all(fd, into.data, HEADER_BYTES, out, deadline_ms);
  if (bad != 0) return bad;
  memcpy(&size, into.data + SIZE_AT, sizeof size);
  if (size < HEADER_BYTES) return -EPROTO;
  if (size > into.bytes) return -EMSGSIZE;
  bad = ixy_receive_all(fd, into.data + HEADER_BYTES, size - HEADER_BYTES, out, deadline_ms);
  return bad != 0 ? bad : (int64_t)size;
}

static int64_t js_sendMsg(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  ixy_view from = ixy_arg_slice(args, 1);
  ixy_int32s fds = read_fds(args, 4);
  return args->failed ? 0 : ixy_send(fd, from.data, from.bytes, 0, fds.data, fds.count);
}

static int64_t js_recvMsg(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  ixy_view into = ixy_arg_slice(args, 1);
  ixy_fd_list out = read_fd_list(args, 4);
  return args->failed ? 0 : ixy_receive(fd, into.data, into.bytes, 0, out);
}

// Sends a message and receives the next one, on a blocking or a non-blocking socket.
static int64_t js_request(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  ixy_view view = ixy_arg_view(args, 1);
  int64_t length = ixy_arg_int(args, 2, HEADER_BYTES, INT_MAX);
  const uint8_t *message = ixy_view_slice(args, 1, view, 0, length);
  ixy_int32s fds = read_fds(args, 3);
  ixy_view into = ixy_arg_view(args, 5);
  ixy_fd_list out = read_fd_list(args, 6);
  int64_t deadline_ms = ixy_now_ms() + ixy_arg_int(args, 7, 0, INT_MAX);
  if (args->failed) return 0;
  int64_t result = ixy_send_all(fd, message, (size_t)length, fds.data, fds.count, deadline_ms);
  if (result == 0) result = receive_message(fd, into, out, deadline_ms);
  if (result < 0) ixy_close_fds(out);
  return result;
}

static const ixy_function functions[] = {IXY_FUNCTION(sendMsg), IXY_FUNCTION(recvMsg),
                                         IXY_FUNCTION(request)};
const ixy_table ixy_message_table = IXY_TABLE(functions);

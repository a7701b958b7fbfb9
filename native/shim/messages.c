// Messages with file descriptors over a UNIX stream socket, and one request with its reply in
// a single call. Framing only: a message is 16 bytes of header or more, and says its whole size
// in the little-endian 32-bit word at byte 4 (vfio-user spec, "Header"). Nothing else is read.
#include "shim.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FDS 253 // SCM_MAX_FD: the kernel passes no more in one message
#define HEADER_BYTES 16
#define SIZE_AT 4

typedef union {
  struct cmsghdr align;
  char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
} control_buffer;

// Where received fds go: list[0] is their number, list[1..] are they. length 0: none wanted.
typedef struct {
  int32_t *list;
  size_t length;
} fd_list;

static void drop_fds(fd_list out) {
  if (out.length == 0) return;
  for (int32_t i = 1; i <= out.list[0]; i++) close(out.list[i]);
  out.list[0] = 0;
}

// Moves the fds of a message into `out`, behind those already there. Where one does not fit or
// the kernel had to leave one out, closes all of them: a message without its fds is no message.
static int64_t take_fds(struct msghdr *message, fd_list out) {
  bool lost = (message->msg_flags & MSG_CTRUNC) != 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      if (out.length == 0 || (size_t)out.list[0] + 1 >= out.length) {
        close(fd);
        lost = true;
      } else {
        out.list[0]++;
        out.list[out.list[0]] = fd;
      }
    }
  }
  if (!lost) return 0;
  drop_fds(out);
  return -EMSGSIZE;
}

static int64_t receive(int fd, void *data, size_t bytes, int flags, fd_list out) {
  control_buffer control;
  struct iovec part = {data, bytes};
  struct msghdr message = {0};
  ssize_t result;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  IXY_RETRY(result, recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC));
  if (result < 0) return -errno;
  int64_t bad = take_fds(&message, out);
  return bad != 0 ? bad : result;
}

static int64_t transmit(int fd, const void *data, size_t bytes, int flags, const int32_t *fds,
                        size_t count) {
  control_buffer control;
  struct iovec part = {(void *)data, bytes};
  struct msghdr message = {0};
  ssize_t result;
  if (count > MAX_FDS || (count > 0 && bytes == 0)) return -EINVAL;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
  }
  IXY_RETRY(result, sendmsg(fd, &message, flags | MSG_NOSIGNAL));
  return ixy_errno(result);
}

// 0 once the fd is ready (or broken: the next call says how), -ETIMEDOUT at the deadline.
static int64_t wait_for(int fd, short events, int64_t deadline) {
  struct pollfd entry = {fd, events, 0};
  int result;
  IXY_RETRY(result, poll(&entry, 1, ixy_left_ms(deadline)));
  if (result < 0) return -errno;
  return result == 0 ? -ETIMEDOUT : 0;
}

static int64_t send_all(int fd, const uint8_t *data, size_t bytes, const int32_t *fds, size_t count,
                        int64_t deadline) {
  size_t sent = 0;
  while (sent < bytes) {
    int64_t result = transmit(fd, data + sent, bytes - sent, MSG_DONTWAIT, fds, count);
    if (result == -EAGAIN) result = wait_for(fd, POLLOUT, deadline);
    else if (result > 0) count = 0; // the fds went with the first byte
    if (result < 0) return result;
    if (result > 0) sent += (size_t)result;
  }
  return 0;
}

static int64_t receive_all(int fd, uint8_t *data, size_t bytes, fd_list out, int64_t deadline) {
  size_t got = 0;
  while (got < bytes) {
    int64_t result = receive(fd, data + got, bytes - got, MSG_DONTWAIT, out);
    if (result == 0) return -ECONNRESET; // end of stream inside or before a message
    if (result > 0) {
      got += (size_t)result;
      continue;
    }
    if (result == -EAGAIN) result = wait_for(fd, POLLIN, deadline);
    if (result < 0) return result;
  }
  return 0;
}

static int64_t receive_message(int fd, uint8_t *data, size_t capacity, fd_list out,
                               int64_t deadline) {
  if (capacity < HEADER_BYTES) return -EMSGSIZE;
  int64_t result = receive_all(fd, data, HEADER_BYTES, out, deadline);
  if (result < 0) return result;
  const uint8_t *at = data + SIZE_AT;
  uint32_t size = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
  if (size < HEADER_BYTES) return -EPROTO;
  if (size > capacity) return -EMSGSIZE;
  result = receive_all(fd, data + HEADER_BYTES, size - HEADER_BYTES, out, deadline);
  return result < 0 ? result : (int64_t)size;
}

// Sends a message and receives the next one, all within timeout_ms, on a blocking or a
// non-blocking socket. After any error but a refused argument the stream is out of step.
IXY_EXPORT int64_t ixy_request(int fd, const uint8_t *send, size_t send_bytes, const int32_t *fds,
                               size_t fd_count, uint8_t *recv, size_t recv_bytes,
                               int32_t *fds_out, size_t fds_out_length, int timeout_ms) {
  fd_list out = {fds_out, fds_out_length};
  int64_t deadline = ixy_now_ms() + timeout_ms;
  if (fds_out_length > 0) fds_out[0] = 0;
  int64_t result = send_all(fd, send, send_bytes, fds, fd_count, deadline);
  if (result == 0) result = receive_message(fd, recv, recv_bytes, out, deadline);
  if (result < 0) drop_fds(out);
  return result;
}

static napi_value js_sendMsg(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "sendMsg");
  int fd = ixy_arg_fd(&args, 0);
  ixy_view view = ixy_arg_view(&args, 1);
  int64_t offset = ixy_arg_int(&args, 2, 0, IXY_MAX_SAFE);
  int64_t length = ixy_arg_int(&args, 3, 0, IXY_MAX_SAFE);
  ixy_int32s fds = ixy_arg_int32s(&args, 4, true);
  int64_t count = ixy_arg_int(&args, 5, 0, MAX_FDS);
  uint8_t *data = ixy_view_slice(&args, 1, view, offset, length);
  if (!args.failed && (size_t)count > fds.count) ixy_args_fail(&args, 5, "no more fds than given", true);
  if (args.failed) return NULL;
  return ixy_number(env, transmit(fd, data, (size_t)length, 0, fds.data, (size_t)count));
}

static napi_value js_recvMsg(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "recvMsg");
  int fd = ixy_arg_fd(&args, 0);
  ixy_view view = ixy_arg_view(&args, 1);
  int64_t offset = ixy_arg_int(&args, 2, 0, IXY_MAX_SAFE);
  int64_t length = ixy_arg_int(&args, 3, 0, IXY_MAX_SAFE);
  ixy_int32s fds = ixy_arg_int32s(&args, 4, true);
  uint8_t *data = ixy_view_slice(&args, 1, view, offset, length);
  if (args.failed) return NULL;
  if (fds.count > 0) fds.data[0] = 0;
  fd_list out = {fds.data, fds.count};
  return ixy_number(env, receive(fd, data, (size_t)length, 0, out));
}

static napi_value js_request(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "request");
  int fd = ixy_arg_fd(&args, 0);
  ixy_view send = ixy_arg_view(&args, 1);
  int64_t length = ixy_arg_int(&args, 2, HEADER_BYTES, INT_MAX);
  ixy_int32s fds = ixy_arg_int32s(&args, 3, true);
  int64_t count = ixy_arg_int(&args, 4, 0, MAX_FDS);
  ixy_view recv = ixy_arg_view(&args, 5);
  ixy_int32s out = ixy_arg_int32s(&args, 6, true);
  int64_t timeout = ixy_arg_int(&args, 7, 0, INT_MAX);
  uint8_t *data = ixy_view_slice(&args, 1, send, 0, length);
  if (!args.failed && (size_t)count > fds.count) ixy_args_fail(&args, 4, "no more fds than given", true);
  if (args.failed) return NULL;
  return ixy_number(env, ixy_request(fd, data, (size_t)length, fds.data, (size_t)count, recv.data,
                                     recv.bytes, out.data, out.count, (int)timeout));
}

static const napi_property_descriptor functions[] = {IXY_METHOD(sendMsg), IXY_METHOD(recvMsg),
                                                     IXY_METHOD(request)};
const ixy_table ixy_message_table = IXY_TABLE(functions);

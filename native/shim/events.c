// Waiting and signalling: poll with a deadline, and eventfds.
// An eventfd that came from another process may be in blocking mode, and changing that would
// change it over there: so signal and drain look with poll first, and never block.
#include "shim.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int ready_now(int fd, short events) {
  struct pollfd entry = {fd, events, 0};
  int result;
  IXY_RETRY(result, poll(&entry, 1, 0));
  if (result < 0) return -errno;
  if ((entry.revents & POLLNVAL) != 0) return -EBADF;
  return (entry.revents & events) != 0;
}

IXY_EXPORT int64_t ixy_eventfd_signal(int fd) {
  uint64_t one = 1;
  ssize_t result;
  int ready = ready_now(fd, POLLOUT);
  if (ready <= 0) return ready < 0 ? ready : -EAGAIN;
  IXY_RETRY(result, write(fd, &one, sizeof one));
  return result < 0 ? -(int64_t)errno : 0;
}

IXY_EXPORT int64_t ixy_eventfd_drain(int fd) {
  uint64_t count = 0;
  ssize_t result;
  int ready = ready_now(fd, POLLIN);
  if (ready <= 0) return ready;
  IXY_RETRY(result, read(fd, &count, sizeof count));
  if (result < 0) return errno == EAGAIN ? 0 : -(int64_t)errno;
  if (result != sizeof count) return -EINVAL;
  return count > (uint64_t)IXY_MAX_SAFE ? IXY_MAX_SAFE : (int64_t)count;
}

static napi_value js_poll(napi_env env, napi_callback_info info) {
  ixy_args args;
  struct pollfd entries[64];
  int result;
  ixy_args_read(&args, env, info, "poll");
  ixy_int32s list = ixy_arg_int32s(&args, 0, false);
  int64_t n = ixy_arg_int(&args, 1, 0, 64);
  int64_t timeout = ixy_arg_int(&args, 2, 0, INT_MAX);
  if (!args.failed && list.count < (size_t)n * 3)
    ixy_args_fail(&args, 0, "an Int32Array of 3 words an entry", true);
  if (args.failed) return NULL;
  for (int64_t i = 0; i < n; i++) {
    entries[i].fd = list.data[i * 3];
    entries[i].events = (short)list.data[i * 3 + 1];
    entries[i].revents = 0;
  }
  int64_t deadline = ixy_now_ms() + timeout;
  IXY_RETRY(result, poll(entries, (nfds_t)n, ixy_left_ms(deadline)));
  if (result < 0) return ixy_number(env, -errno);
  for (int64_t i = 0; i < n; i++) list.data[i * 3 + 2] = entries[i].revents;
  return ixy_number(env, result);
}

static napi_value js_eventfd(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "eventfd");
  int64_t initial = ixy_arg_int(&args, 0, 0, UINT_MAX);
  int64_t flags = ixy_arg_int(&args, 1, 0, INT_MAX);
  if (args.failed) return NULL;
  return ixy_number(env, ixy_errno(eventfd((unsigned)initial, (int)flags | EFD_CLOEXEC)));
}

static napi_value js_eventfdSignal(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "eventfdSignal");
  int fd = ixy_arg_fd(&args, 0);
  return args.failed ? NULL : ixy_number(env, ixy_eventfd_signal(fd));
}

static napi_value js_eventfdDrain(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "eventfdDrain");
  int fd = ixy_arg_fd(&args, 0);
  return args.failed ? NULL : ixy_number(env, ixy_eventfd_drain(fd));
}

static const napi_property_descriptor functions[] = {
    IXY_METHOD(poll), IXY_METHOD(eventfd), IXY_METHOD(eventfdSignal), IXY_METHOD(eventfdDrain)};
const ixy_table ixy_event_table = IXY_TABLE(functions);

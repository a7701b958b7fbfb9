// Waiting and signalling: poll with a deadline, and eventfds.
// An eventfd that came from another process may be in blocking mode, and changing that would
// change it over there: so signal and drain look with poll first, and never block.
#include "shim.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

// 1 where the fd is ready, 0 where not.
static int64_t ready_now(int fd, short events) {
  struct pollfd entry = {fd, events, 0};
  int64_t bad = IXY_CALL(poll(&entry, 1, 0));
  if (bad < 0) return bad;
  if ((entry.revents & POLLNVAL) != 0) return -EBADF;
  return (entry.revents & events) != 0;
}

static int64_t js_eventfdSignal(ixy_args *args) {
  uint64_t one = 1;
  int fd = ixy_arg_fd(args, 0);
  if (args->failed) return 0;
  int64_t ready = ready_now(fd, POLLOUT);
  if (ready <= 0) return ready < 0 ? ready : -EAGAIN;
  int64_t result = IXY_CALL(write(fd, &one, sizeof one));
  return result < 0 ? result : 0;
}

static int64_t js_eventfdDrain(ixy_args *args) {
  uint64_t count = 0;
  int fd = ixy_arg_fd(args, 0);
  int64_t ready = args->failed ? 0 : ready_now(fd, POLLIN);
  if (ready <= 0) return ready;
  int64_t result = IXY_CALL(read(fd, &count, sizeof count));
  if (result < 0) return result == -EAGAIN ? 0 : result;
  if (result != sizeof count) return -EINVAL;
  return count > (uint64_t)IXY_MAX_SAFE ? IXY_MAX_SAFE : (int64_t)count;
}

static int64_t js_poll(ixy_args *args) {
  struct pollfd entries[64];
  nfds_t n = (nfds_t)ixy_arg_int(args, 1, 0, 64);
  ixy_int32s list = ixy_arg_int32s(args, 0, n * 3); // an entry is [fd, events, revents]
  int64_t deadline_ms = ixy_now_ms() + ixy_arg_int(args, 2, 0, INT_MAX);
  if (args->failed) return 0;
  for (nfds_t i = 0; i < n; i++)
    entries[i] = (struct pollfd){list.data[i * 3], (short)list.data[i * 3 + 1], 0};
  int64_t result = IXY_CALL(poll(entries, n, ixy_left_ms(deadline_ms)));
  for (nfds_t i = 0; i < n && result >= 0; i++) list.data[i * 3 + 2] = entries[i].revents;
  return result;
}

static int64_t js_eventfd(ixy_args *args) {
  unsigned initial = (unsigned)ixy_arg_int(args, 0, 0, UINT_MAX);
  int flags = (int)ixy_arg_int(args, 1, 0, INT_MAX);
  return args->failed ? 0 : IXY_CALL(eventfd(initial, flags | EFD_CLOEXEC));
}

static const ixy_function functions[] = {IXY_FUNCTION(poll), IXY_FUNCTION(eventfd),
                                         IXY_FUNCTION(eventfdSignal), IXY_FUNCTION(eventfdDrain)};
const ixy_table ixy_event_table = IXY_TABLE(functions);

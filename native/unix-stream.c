// Connecting, and sending and receiving bytes with file descriptors, each wait bounded. Sources:
// unix(7), cmsg(3).
#include "unix-stream.h"

#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef union {
  struct cmsghdr first;
  char bytes[CMSG_SPACE(IXY_MAX_FDS * sizeof(int))];
} control_buffer;

int64_t ixy_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int ixy_left_ms(int64_t deadline_ms) {
  int64_t left = deadline_ms - ixy_now_ms();
  return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

// Not close(): in the preload library that is the function that the program calls.
static void close_fd(int fd) { syscall(SYS_close, fd); }

int ixy_unix_address(struct sockaddr_un *address, const char *path) {
  if (path[0] == '\0') return -EINVAL; // would be an address of the abstract namespace
  // 107 bytes and the final NUL.
  if (strlen(path) >= sizeof address->sun_path) return -ENAMETOOLONG;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  strcpy(address->sun_path, path);
  return 0;
}

int64_t ixy_unix_connect(const char *path, int timeout_ms) {
  // connect() waits for room in the listener's backlog, for as long as the send timeout says
  // (where 0 would mean for ever).
  const struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000 + 1}, none = {0, 0};
  struct sockaddr_un address;
  int bad = ixy_unix_address(&address, path);
  if (bad != 0) return bad;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int64_t result = IXY_CALL(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
  if (result == 0) result = IXY_CALL(connect(fd, (struct sockaddr *)&address, sizeof address));
  if (result != 0) {
    close_fd(fd);
    return result == -EAGAIN ? -ETIMEDOUT : result;
  }
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
  return fd;
}

void ixy_close_fds(ixy_fd_list out) {
  if (out.length == 0) return;
  for (int32_t i = 1; i <= out.list[0]; i++) close_fd(out.list[i]);
  out.list[0] = 0;
}

// Moves the fds of a message into `out`. A message without all of its fds is no message.
static int64_t take_fds(struct msghdr *message, ixy_fd_list out) {
  bool lost = (message->msg_flags & MSG_CTRUNC) != 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      if (out.length == 0 || (size_t)out.list[0] + 1 >= out.length) {
        close_fd(fd);
        lost = true;
      } else {
        out.list[++out.list[0]] = fd;
      }
    }
  }
  if (!lost) return 0;
  ixy_close_fds(out);
  return -EMSGSIZE;
}

int64_t ixy_receive(int fd, void *data, size_t bytes, int flags, ixy_fd_list out) {
  control_buffer control;
  struct iovec part = {data, bytes};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  int64_t got = IXY_CALL(recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC));
  int64_t bad = got < 0 ? got : take_fds(&message, out);
  return bad != 0 ? bad : got;
}

int64_t ixy_send(int fd, const void *data, size_t bytes, int flags, const int32_t *fds,
                 size_t fd_count) {
  control_buffer control;
  struct iovec part = {(void *)data, bytes};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd_count > IXY_MAX_FDS || (fd_count > 0 && bytes == 0)) return -EINVAL;
  if (fd_count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    control.first.cmsg_level = SOL_SOCKET;
    control.first.cmsg_type = SCM_RIGHTS;
    control.first.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    memcpy(CMSG_DATA(&control.first), fds, fd_count * sizeof(int));
  }
  return IXY_CALL(sendmsg(fd, &message, flags | MSG_NOSIGNAL));
}

// 0 once the fd is ready (or broken: the next call says how), -ETIMEDOUT at the deadline.
static int64_t wait_for(int fd, short events, int64_t deadline_ms) {
  struct pollfd entry = {fd, events, 0};
  int64_t ready = IXY_CALL(poll(&entry, 1, ixy_left_ms(deadline_ms)));
  return ready == 0 ? -ETIMEDOUT : ready < 0 ? ready : 0;
}

int64_t ixy_send_all(int fd, const void *data, size_t bytes, const int32_t *fds, size_t fd_count,
                     int64_t deadline_ms) {
  for (size_t sent = 0; sent < bytes;) {
    int64_t result =
        ixy_send(fd, (const char *)data + sent, bytes - sent, MSG_DONTWAIT, fds, fd_count);
    if (result == -EAGAIN) result = wait_for(fd, POLLOUT, deadline_ms);
    else if (result > 0) fd_count = 0; // the fds went with the first byte
    if (result < 0) return result;
    sent += (size_t)result;
  }
  return 0;
}

int64_t ixy_receive_all(int fd, void *data, size_t bytes, ixy_fd_list out, int64_t deadline_ms) {
  for (size_t got = 0; got < bytes;) {
    int64_t result = ixy_receive(fd, (char *)data + got, bytes - got, MSG_DONTWAIT, out);
    if (result == 0) return -ECONNRESET;
    if (result == -EAGAIN) result = wait_for(fd, POLLIN, deadline_ms);
    if (result < 0) return result;
    got += (size_t)result;
  }
  return 0;
}

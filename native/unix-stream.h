// UNIX stream sockets and what passes over them, bytes and file descriptors: for the shim and for
// the preload library, which are two programs. Functions return a number >= 0, or -errno.
#ifndef IXY_UNIX_STREAM_H
#define IXY_UNIX_STREAM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#define IXY_MAX_FDS 253 // SCM_MAX_FD: the kernel passes no more in one message

// Where received fds go: list[0] is their number, list[1..] are they. length 0: none wanted.
typedef struct {
  int32_t *list;
  size_t length;
} ixy_fd_list;

// A system call, made again where a signal interrupted it: its result, or -errno.
#define IXY_CALL(call)                                                                             \
  ({                                                                                               \
    int64_t result_;                                                                               \
    do result_ = (call);                                                                           \
    while (result_ == -1 && errno == EINTR);                                                       \
    result_ < 0 ? -(int64_t)errno : result_;                                                       \
  })

int64_t ixy_now_ms(void); // CLOCK_MONOTONIC
// Milliseconds until the deadline, 0 when it is past.
int ixy_left_ms(int64_t deadline_ms);

// Fills in the address of a path: 0, -EINVAL for an empty one, -ENAMETOOLONG over 107 bytes.
int ixy_unix_address(struct sockaddr_un *address, const char *path);
// A blocking socket; -ETIMEDOUT where the listener's backlog stays full until the time is over.
int64_t ixy_unix_connect(const char *path, int timeout_ms);

// sendmsg(2) without SIGPIPE; the result may be fewer bytes than were given.
int64_t ixy_send(int fd, const void *data, size_t bytes, int flags, const int32_t *fds,
                 size_t fd_count);
// recvmsg(2). Fds are added behind those already in `out`. Where one does not fit, or the kernel
// had to leave one out, all are closed and the result is -EMSGSIZE.
int64_t ixy_receive(int fd, void *data, size_t bytes, int flags, ixy_fd_list out);

// All of the bytes, by the deadline: 0, -ETIMEDOUT, or -ECONNRESET at the end of the stream. After
// an error the stream is out of step.
int64_t ixy_send_all(int fd, const void *data, size_t bytes, const int32_t *fds, size_t fd_count,
                     int64_t deadline_ms);
int64_t ixy_receive_all(int fd, void *data, size_t bytes, ixy_fd_list out, int64_t deadline_ms);
void ixy_close_fds(ixy_fd_list out);

#endif

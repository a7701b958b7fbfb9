// UNIX stream sockets: listening, connecting, accepting.
#include "shim.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t listen_at(const char *path, int backlog) {
  struct sockaddr_un address;
  int bad = ixy_unix_address(&address, path);
  if (bad != 0) return bad;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  // On Linux the mode of an unbound socket is the mode bind() gives the file: no moment at
  // which another user could connect, and no change of the process-wide umask.
  if (fchmod(fd, 0600) == 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
      listen(fd, backlog) == 0)
    return fd;
  int error = errno;
  close(fd);
  return -error;
}

static int64_t js_unixListen(ixy_args *args) {
  char path[PATH_MAX];
  ixy_arg_string(args, 0, path, sizeof path);
  int backlog = (int)ixy_arg_int(args, 1, 0, 4096);
  return args->failed ? 0 : listen_at(path, backlog);
}

static int64_t js_unixConnect(ixy_args *args) {
  char path[PATH_MAX];
  ixy_arg_string(args, 0, path, sizeof path);
  int timeout_ms =
      ixy_arg_type(args, 1) == napi_undefined ? 5000 : (int)ixy_arg_int(args, 1, 0, INT_MAX);
  return args->failed ? 0 : ixy_unix_connect(path, timeout_ms);
}

static int64_t js_accept(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  return args->failed ? 0 : IXY_CALL(accept4(fd, NULL, NULL, SOCK_CLOEXEC));
}

static int64_t js_shutdown(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  int how = (int)ixy_arg_int(args, 1, 0, 2);
  return args->failed ? 0 : IXY_CALL(shutdown(fd, how));
}

static int64_t js_setNonBlocking(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  bool on = ixy_arg_bool(args, 1);
  int64_t flags = args->failed ? 0 : IXY_CALL(fcntl(fd, F_GETFL));
  if (args->failed || flags < 0) return flags;
  return IXY_CALL(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

static int64_t js_socketpair(ixy_args *args) {
  ixy_int32s out = ixy_arg_int32s(args, 0, 2);
  return args->failed ? 0 : IXY_CALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out.data));
}

static const ixy_function functions[] = {
    IXY_FUNCTION(unixListen),     IXY_FUNCTION(unixConnect), IXY_FUNCTION(accept),
    IXY_FUNCTION(shutdown),       IXY_FUNCTION(setNonBlocking), IXY_FUNCTION(socketpair),
};
const ixy_table ixy_socket_table = IXY_TABLE(functions);

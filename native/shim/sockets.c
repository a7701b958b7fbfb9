// UNIX stream sockets: listening, connecting, accepting. Messages are in messages.c.
#include "shim.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int64_t fill_address(struct sockaddr_un *address, const char *path) {
  if (path[0] == '\0') return -EINVAL; // would be an address of the abstract namespace
  // 107 bytes and the final NUL.
  if (strlen(path) >= sizeof address->sun_path) return -ENAMETOOLONG;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  strcpy(address->sun_path, path);
  return 0;
}

static int64_t close_with(int fd, int error) {
  close(fd);
  return -error;
}

IXY_EXPORT int64_t ixy_unix_listen(const char *path, int backlog) {
  struct sockaddr_un address;
  int64_t bad = fill_address(&address, path);
  if (bad != 0) return bad;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  // On Linux the mode of an unbound socket is the mode bind() gives the file: no moment at
  // which another user could connect, and no change of the process-wide umask.
  if (fchmod(fd, 0600) != 0) return close_with(fd, errno);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) return close_with(fd, errno);
  if (listen(fd, backlog) != 0) return close_with(fd, errno);
  return fd;
}

IXY_EXPORT int64_t ixy_unix_connect(const char *path, int timeout_ms) {
  struct sockaddr_un address;
  int result;
  int64_t bad = fill_address(&address, path);
  if (bad != 0) return bad;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  // connect() waits for room in the listener's backlog, for as long as the send timeout says
  // (where 0 would mean for ever).
  struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000 + 1};
  const struct timeval none = {0, 0};
  if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
    return close_with(fd, errno);
  IXY_RETRY(result, connect(fd, (struct sockaddr *)&address, sizeof address));
  if (result != 0) return close_with(fd, errno == EAGAIN ? ETIMEDOUT : errno);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
  return fd;
}

static napi_value js_unixListen(napi_env env, napi_callback_info info) {
  ixy_args args;
  char path[PATH_MAX];
  ixy_args_read(&args, env, info, "unixListen");
  ixy_arg_string(&args, 0, path, sizeof path);
  int64_t backlog = ixy_arg_int(&args, 1, 0, 4096);
  return args.failed ? NULL : ixy_number(env, ixy_unix_listen(path, (int)backlog));
}

static napi_value js_unixConnect(napi_env env, napi_callback_info info) {
  ixy_args args;
  char path[PATH_MAX];
  ixy_args_read(&args, env, info, "unixConnect");
  ixy_arg_string(&args, 0, path, sizeof path);
  int64_t timeout = ixy_arg_int_or(&args, 1, 0, INT_MAX, 5000);
  return args.failed ? NULL : ixy_number(env, ixy_unix_connect(path, (int)timeout));
}

static napi_value js_accept(napi_env env, napi_callback_info info) {
  ixy_args args;
  int result;
  ixy_args_read(&args, env, info, "accept");
  int fd = ixy_arg_fd(&args, 0);
  if (args.failed) return NULL;
  IXY_RETRY(result, accept4(fd, NULL, NULL, SOCK_CLOEXEC));
  return ixy_number(env, ixy_errno(result));
}

static napi_value js_shutdown(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "shutdown");
  int fd = ixy_arg_fd(&args, 0);
  int64_t how = ixy_arg_int(&args, 1, 0, 2);
  return args.failed ? NULL : ixy_number(env, ixy_errno(shutdown(fd, (int)how)));
}

static napi_value js_setNonBlocking(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "setNonBlocking");
  int fd = ixy_arg_fd(&args, 0);
  bool on = ixy_arg_bool(&args, 1);
  if (args.failed) return NULL;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return ixy_number(env, -errno);
  flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return ixy_number(env, ixy_errno(fcntl(fd, F_SETFL, flags)));
}

static napi_value js_socketpair(napi_env env, napi_callback_info info) {
  ixy_args args;
  int pair[2];
  ixy_args_read(&args, env, info, "socketpair");
  ixy_int32s out = ixy_arg_int32s(&args, 0, false);
  if (!args.failed && out.count < 2) ixy_args_fail(&args, 0, "an Int32Array of 2 words", true);
  if (args.failed) return NULL;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return ixy_number(env, -errno);
  out.data[0] = pair[0];
  out.data[1] = pair[1];
  return ixy_number(env, 0);
}

static napi_value js_peerPid(napi_env env, napi_callback_info info) {
  ixy_args args;
  struct ucred peer = {0, 0, 0};
  socklen_t size = sizeof peer;
  ixy_args_read(&args, env, info, "peerPid");
  int fd = ixy_arg_fd(&args, 0);
  if (args.failed) return NULL;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return ixy_number(env, -errno);
  return ixy_number(env, peer.pid);
}

static const napi_property_descriptor functions[] = {
    IXY_METHOD(unixListen), IXY_METHOD(unixConnect),    IXY_METHOD(accept),
    IXY_METHOD(shutdown),   IXY_METHOD(setNonBlocking), IXY_METHOD(socketpair),
    IXY_METHOD(peerPid),
};
const ixy_table ixy_socket_table = IXY_TABLE(functions);

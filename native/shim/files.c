// File descriptors: open, close, read, write, ioctl.
#include "shim.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

// Visible to dlsym: src/vfio/kernel/ffi.ts calls this one function without Node-API.
__attribute__((visibility("default"))) int64_t ixy_ioctl(int fd, uint64_t request,
                                                         uint64_t argument) {
  return IXY_CALL(ioctl(fd, (unsigned long)request, (unsigned long)argument));
}

static int64_t js_open(ixy_args *args) {
  char path[PATH_MAX];
  ixy_arg_string(args, 0, path, sizeof path);
  int flags = (int)ixy_arg_int(args, 1, 0, INT_MAX);
  return args->failed ? 0 : IXY_CALL(open(path, flags | O_CLOEXEC, 0600));
}

static int64_t js_close(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  // Linux has freed the number even when close() says EINTR: a second close could hit another file.
  return args->failed || close(fd) == 0 || errno == EINTR ? 0 : -errno;
}

static int64_t js_dup(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  return args->failed ? 0 : IXY_CALL(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

static int64_t js_fstat(ixy_args *args) {
  struct stat status;
  int fd = ixy_arg_fd(args, 0);
  double *out = ixy_arg_float64s(args, 1, 4);
  if (args->failed) return 0;
  if (fstat(fd, &status) != 0) return -errno;
  out[0] = (double)status.st_dev;
  out[1] = (double)status.st_ino;
  out[2] = (double)status.st_size;
  out[3] = (double)status.st_mode;
  return 0;
}

static int64_t js_pread(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  ixy_view to = ixy_arg_slice(args, 1);
  int64_t file_offset = ixy_arg_int(args, 4, 0, IXY_MAX_SAFE);
  return args->failed ? 0 : IXY_CALL(pread(fd, to.data, to.bytes, file_offset));
}

static int64_t js_pwrite(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  ixy_view from = ixy_arg_slice(args, 1);
  int64_t file_offset = ixy_arg_int(args, 4, 0, IXY_MAX_SAFE);
  return args->failed ? 0 : IXY_CALL(pwrite(fd, from.data, from.bytes, file_offset));
}

static int64_t js_ioctl(ixy_args *args) {
  uint64_t argument = 0;
  int fd = ixy_arg_fd(args, 0);
  int64_t request = ixy_arg_int(args, 1, 0, UINT_MAX);
  napi_valuetype type = ixy_arg_type(args, 2);
  if (type == napi_number)
    argument = (uint64_t)ixy_arg_int(args, 2, -IXY_MAX_SAFE, IXY_MAX_SAFE);
  else if (type == napi_object) {
    ixy_view view = ixy_arg_view(args, 2);
    // Many requests carry the size of their struct; VFIO's say 0 and have argsz instead.
    if (!args->failed && _IOC_SIZE((unsigned)request) > view.bytes)
      ixy_args_fail(args, 2, "a view as long as the request's struct", true);
    argument = (uint64_t)(uintptr_t)view.data;
  } else if (type != napi_null)
    ixy_args_fail(args, 2, "a view, a number or null", false);
  return args->failed ? 0 : ixy_ioctl(fd, (uint64_t)request, argument);
}

static const ixy_function functions[] = {
    IXY_FUNCTION(open),  IXY_FUNCTION(close),  IXY_FUNCTION(dup),  IXY_FUNCTION(fstat),
    IXY_FUNCTION(pread), IXY_FUNCTION(pwrite), IXY_FUNCTION(ioctl),
};
const ixy_table ixy_file_table = IXY_TABLE(functions);

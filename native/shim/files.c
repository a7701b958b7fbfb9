// File descriptors: open, close, read, write, ioctl.
#include "shim.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

IXY_EXPORT int64_t ixy_ioctl(int fd, uint64_t request, uint64_t argument) {
  int result;
  IXY_RETRY(result, ioctl(fd, (unsigned long)request, (unsigned long)argument));
  return ixy_errno(result);
}

static napi_value js_open(napi_env env, napi_callback_info info) {
  ixy_args args;
  char path[PATH_MAX];
  int result;
  ixy_args_read(&args, env, info, "open");
  ixy_arg_string(&args, 0, path, sizeof path);
  int64_t flags = ixy_arg_int(&args, 1, 0, INT_MAX);
  if (args.failed) return NULL;
  IXY_RETRY(result, open(path, (int)flags | O_CLOEXEC, 0600));
  return ixy_number(env, ixy_errno(result));
}

static napi_value js_close(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "close");
  int fd = ixy_arg_fd(&args, 0);
  if (args.failed) return NULL;
  // Linux has freed the number even when close() says EINTR: a second close could hit another file.
  int64_t result = ixy_errno(close(fd));
  return ixy_number(env, result == -EINTR ? 0 : result);
}

static napi_value js_dup(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "dup");
  int fd = ixy_arg_fd(&args, 0);
  if (args.failed) return NULL;
  return ixy_number(env, ixy_errno(fcntl(fd, F_DUPFD_CLOEXEC, 0)));
}

static napi_value js_fstat(napi_env env, napi_callback_info info) {
  ixy_args args;
  struct stat status;
  ixy_args_read(&args, env, info, "fstat");
  int fd = ixy_arg_fd(&args, 0);
  double *out = ixy_arg_float64s(&args, 1, 4);
  if (args.failed) return NULL;
  if (fstat(fd, &status) != 0) return ixy_number(env, -errno);
  out[0] = (double)status.st_dev;
  out[1] = (double)status.st_ino;
  out[2] = (double)status.st_size;
  out[3] = (double)status.st_mode;
  return ixy_number(env, 0);
}

static napi_value transfer(napi_env env, napi_callback_info info, bool writing) {
  ixy_args args;
  ssize_t result;
  ixy_args_read(&args, env, info, writing ? "pwrite" : "pread");
  int fd = ixy_arg_fd(&args, 0);
  ixy_view view = ixy_arg_view(&args, 1);
  int64_t offset = ixy_arg_int(&args, 2, 0, IXY_MAX_SAFE);
  int64_t length = ixy_arg_int(&args, 3, 0, IXY_MAX_SAFE);
  int64_t file_offset = ixy_arg_int(&args, 4, 0, IXY_MAX_SAFE);
  uint8_t *data = ixy_view_slice(&args, 1, view, offset, length);
  if (args.failed) return NULL;
  if (writing)
    IXY_RETRY(result, pwrite(fd, data, (size_t)length, file_offset));
  else
    IXY_RETRY(result, pread(fd, data, (size_t)length, file_offset));
  return ixy_number(env, ixy_errno(result));
}

static napi_value js_pread(napi_env env, napi_callback_info info) {
  return transfer(env, info, false);
}

static napi_value js_pwrite(napi_env env, napi_callback_info info) {
  return transfer(env, info, true);
}

static napi_value js_ioctl(napi_env env, napi_callback_info info) {
  ixy_args args;
  napi_valuetype type = napi_undefined;
  uint64_t argument = 0;
  ixy_args_read(&args, env, info, "ioctl");
  int fd = ixy_arg_fd(&args, 0);
  int64_t request = ixy_arg_int(&args, 1, 0, UINT_MAX);
  napi_typeof(env, args.values[2], &type);
  if (type == napi_number)
    argument = (uint64_t)ixy_arg_int(&args, 2, -IXY_MAX_SAFE, IXY_MAX_SAFE);
  else if (type == napi_object) {
    ixy_view view = ixy_arg_view(&args, 2);
    // Many requests carry the size of their struct; VFIO's say 0 and have argsz instead.
    if (!args.failed && _IOC_SIZE((unsigned)request) > view.bytes)
      ixy_args_fail(&args, 2, "a view as long as the request's struct", true);
    argument = (uint64_t)(uintptr_t)view.data;
  } else if (type != napi_null)
    ixy_args_fail(&args, 2, "a view, a number or null", false);
  if (args.failed) return NULL;
  return ixy_number(env, ixy_ioctl(fd, (uint64_t)request, argument));
}

static const napi_property_descriptor functions[] = {
    IXY_METHOD(open),  IXY_METHOD(close),  IXY_METHOD(dup),  IXY_METHOD(fstat),
    IXY_METHOD(pread), IXY_METHOD(pwrite), IXY_METHOD(ioctl),
};
const ixy_table ixy_file_table = IXY_TABLE(functions);

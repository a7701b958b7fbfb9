// The fds that stand for containers, groups and devices: opening, duplicating, closing them, and
// the calls on them. Each is an open /dev/null, a character device as the real ones are, with an
// entry in a table beside it. Everything on other fds goes to the C library untouched.
#include "preload.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS 65536
#define INDEX_BITS 8

// Kind and index, 0 for an fd that is not ours.
static atomic_ushort handles[FDS];

void *ixy_real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) {
    dprintf(2, "ixy preload: no %s in the C library\n", name);
    abort();
  }
  return found;
}

ixy_handle ixy_handle_of(int fd) {
  unsigned entry = fd >= 0 && fd < FDS ? atomic_load_explicit(&handles[fd], memory_order_acquire)
                                       : 0;
  return (ixy_handle){entry >> INDEX_BITS, entry & ((1 << INDEX_BITS) - 1)};
}

static void put_handle(int fd, ixy_handle handle) {
  atomic_store_explicit(&handles[fd], handle.kind << INDEX_BITS | handle.index,
                        memory_order_release);
}

int ixy_handle_create(ixy_kind kind, int index) {
  int fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (fd >= FDS) {
    syscall(SYS_close, fd);
    return -EMFILE;
  }
  put_handle(fd, (ixy_handle){kind, index});
  return fd;
}

static int64_t result_of(int64_t value) {
  if (value >= 0) return value;
  errno = (int)-value;
  return -1;
}

// --- Opening and closing

// The fd, or -errno, or -1 << 20 for a path that is not ours.
#define NOT_OURS (-(1 << 20))

static int open_ours(const char *path) {
  static const char folder[] = "/dev/vfio/";
  unsigned group;
  char rest;
  if (ixy_device_count == 0 || path == NULL || strncmp(path, folder, sizeof folder - 1) != 0)
    return NOT_OURS;
  const char *name = path + sizeof folder - 1;
  bool container = strcmp(name, "vfio") == 0;
  if (!container && sscanf(name, "%u%c", &group, &rest) != 1) return NOT_OURS;
  int injected = ixy_injected(container ? "OPEN_CONTAINER" : "OPEN_GROUP");
  if (injected != 0) return -injected;
  sigset_t saved;
  ixy_lock(&ixy_vfio_lock, &saved);
  int index = container ? ixy_container_open() : ixy_group_open(group), fd = index;
  if (index >= 0) {
    fd = ixy_handle_create(container ? IXY_CONTAINER : IXY_GROUP, index);
    if (fd < 0 && container) ixy_container_release(index);
    else if (fd < 0) ixy_group_release(index);
  }
  ixy_unlock(&ixy_vfio_lock, &saved);
  return fd;
}

static void release(ixy_handle handle) {
  sigset_t saved;
  ixy_lock(&ixy_vfio_lock, &saved);
  if (handle.kind == IXY_CONTAINER) ixy_container_release(handle.index);
  else if (handle.kind == IXY_GROUP) ixy_group_release(handle.index);
  else if (handle.kind == IXY_DEVICE) ixy_device_release(handle.index);
  ixy_unlock(&ixy_vfio_lock, &saved);
}

static void hold(int fd, ixy_handle handle) {
  sigset_t saved;
  if (handle.kind == IXY_OTHER || fd < 0 || fd >= FDS) return;
  ixy_lock(&ixy_vfio_lock, &saved);
  if (handle.kind == IXY_CONTAINER) ixy_containers[handle.index].refs++;
  else if (handle.kind == IXY_GROUP) ixy_devices[handle.index].group_refs++;
  else ixy_devices[handle.index].device_refs++;
  put_handle(fd, handle);
  ixy_unlock(&ixy_vfio_lock, &saved);
}

// Forgets an fd that is about to be closed. What a child of fork or vfork closes are its copies:
// that must not end what the parent uses, and a child of vfork shares this table with it.
static void give_up(int fd) {
  ixy_handle handle = ixy_handle_of(fd);
  if (handle.kind == IXY_OTHER) return;
  bool owner = ixy_owner == (int)syscall(SYS_getpid);
  if (owner || ixy_forked) put_handle(fd, (ixy_handle){IXY_OTHER, 0});
  if (owner) release(handle);
}

#define MODE_OF(flags, last)                                                                       \
  mode_t mode = 0;                                                                                 \
  if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                         \
    va_list rest;                                                                                  \
    va_start(rest, last);                                                                          \
    mode = va_arg(rest, mode_t);                                                                   \
    va_end(rest);                                                                                  \
  }
#ifndef __O_TMPFILE
#define __O_TMPFILE 020000000
#endif

#define OPEN(name)                                                                                 \
  IXY_EXPORT int name(const char *path, int flags, ...) {                                          \
    MODE_OF(flags, flags)                                                                          \
    int ours = open_ours(path);                                                                    \
    return ours == NOT_OURS ? IXY_REAL(name)(path, flags, mode) : (int)result_of(ours);            \
  }
#define OPENAT(name)                                                                               \
  IXY_EXPORT int name(int folder, const char *path, int flags, ...) {                              \
    MODE_OF(flags, flags)                                                                          \
    int ours = open_ours(path);                                                                    \
    return ours == NOT_OURS ? IXY_REAL(name)(folder, path, flags, mode) : (int)result_of(ours);    \
  }
// What _FORTIFY_SOURCE makes of an open without a mode.
#define OPEN_2(name)                                                                               \
  int name(const char *path, int flags);                                                           \
  IXY_EXPORT int name(const char *path, int flags) {                                               \
    int ours = open_ours(path);                                                                    \
    return ours == NOT_OURS ? IXY_REAL(name)(path, flags) : (int)result_of(ours);                  \
  }
#define OPENAT_2(name)                                                                             \
  int name(int folder, const char *path, int flags);                                               \
  IXY_EXPORT int name(int folder, const char *path, int flags) {                                   \
    int ours = open_ours(path);                                                                    \
    return ours == NOT_OURS ? IXY_REAL(name)(folder, path, flags) : (int)result_of(ours);          \
  }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
OPEN_2(__open_2)
OPEN_2(__open64_2)
OPENAT_2(__openat_2)
OPENAT_2(__openat64_2)

IXY_EXPORT int close(int fd) {
  give_up(fd);
  return IXY_REAL(close)(fd);
}

IXY_EXPORT int dup(int fd) {
  int copy = IXY_REAL(dup)(fd);
  hold(copy, ixy_handle_of(fd));
  return copy;
}

static void replace(int fd, int copy) {
  if (fd == copy) return;
  give_up(copy);
  hold(copy, ixy_handle_of(fd));
}

IXY_EXPORT int dup2(int fd, int copy) {
  int result = IXY_REAL(dup2)(fd, copy);
  if (result >= 0) replace(fd, copy);
  return result;
}

IXY_EXPORT int dup3(int fd, int copy, int flags) {
  int result = IXY_REAL(dup3)(fd, copy, flags);
  if (result >= 0) replace(fd, copy);
  return result;
}

#define FCNTL(name)                                                                                \
  IXY_EXPORT int name(int fd, int command, ...) {                                                  \
    va_list rest;                                                                                  \
    va_start(rest, command);                                                                       \
    void *arg = va_arg(rest, void *);                                                              \
    va_end(rest);                                                                                  \
    int result = IXY_REAL(name)(fd, command, arg);                                                 \
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) hold(result, ixy_handle_of(fd));         \
    return result;                                                                                 \
  }
FCNTL(fcntl)
FCNTL(fcntl64)

// --- Calls

IXY_EXPORT int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void *arg = va_arg(rest, void *);
  va_end(rest);
  ixy_handle handle = ixy_handle_of(fd);
  if (handle.kind == IXY_OTHER) return IXY_REAL(ioctl)(fd, request, arg);
  int64_t result;
  sigset_t saved;
  request = (uint32_t)request; // Python and Go sign-extend
  ixy_lock(&ixy_vfio_lock, &saved);
  if (handle.kind == IXY_CONTAINER) result = ixy_container_ioctl(handle.index, request, arg);
  else if (handle.kind == IXY_GROUP) result = ixy_group_ioctl(handle.index, request, arg);
  else result = ixy_device_ioctl(&ixy_devices[handle.index], request, arg);
  ixy_unlock(&ixy_vfio_lock, &saved);
  if (result < 0) ixy_log("ioctl 0x%lx: %s", request, strerror((int)-result));
  return (int)result_of(result);
}

// Position -1: where the fd stands, which then moves on.
static ssize_t access_at(int fd, void *data, size_t bytes, int64_t position, bool write) {
  ixy_handle handle = ixy_handle_of(fd);
  if (handle.kind != IXY_DEVICE) return (ssize_t)result_of(-EINVAL);
  ixy_device *device = &ixy_devices[handle.index];
  sigset_t saved;
  ixy_lock(&ixy_vfio_lock, &saved);
  uint64_t at = position < 0 ? device->position : (uint64_t)position;
  int64_t done = ixy_device_access(device, data, bytes, at, write);
  if (position < 0 && done > 0) device->position += (uint64_t)done;
  ixy_unlock(&ixy_vfio_lock, &saved);
  return (ssize_t)result_of(done);
}

static bool other(int fd) { return ixy_handle_of(fd).kind == IXY_OTHER; }

IXY_EXPORT ssize_t read(int fd, void *data, size_t bytes) {
  return other(fd) ? IXY_REAL(read)(fd, data, bytes) : access_at(fd, data, bytes, -1, false);
}

IXY_EXPORT ssize_t write(int fd, const void *data, size_t bytes) {
  return other(fd) ? IXY_REAL(write)(fd, data, bytes)
                   : access_at(fd, (void *)data, bytes, -1, true);
}

#define PREAD(name)                                                                                \
  IXY_EXPORT ssize_t name(int fd, void *data, size_t bytes, off_t at) {                            \
    return other(fd) ? IXY_REAL(name)(fd, data, bytes, at) : access_at(fd, data, bytes, at, false); \
  }
#define PWRITE(name)                                                                               \
  IXY_EXPORT ssize_t name(int fd, const void *data, size_t bytes, off_t at) {                      \
    return other(fd) ? IXY_REAL(name)(fd, data, bytes, at)                                         \
                     : access_at(fd, (void *)data, bytes, at, true);                               \
  }
#define PREAD_CHK(name)                                                                            \
  ssize_t name(int fd, void *data, size_t bytes, off_t at, size_t room);                           \
  IXY_EXPORT ssize_t name(int fd, void *data, size_t bytes, off_t at, size_t room) {               \
    return other(fd) || bytes > room ? IXY_REAL(name)(fd, data, bytes, at, room)                   \
                                     : access_at(fd, data, bytes, at, false);                      \
  }

PREAD(pread)
PREAD(pread64)
PREAD_CHK(__pread_chk)
PREAD_CHK(__pread64_chk)
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t __read_chk(int fd, void *data, size_t bytes, size_t room);
IXY_EXPORT ssize_t __read_chk(int fd, void *data, size_t bytes, size_t room) {
  return other(fd) || bytes > room ? IXY_REAL(__read_chk)(fd, data, bytes, room)
                                   : access_at(fd, data, bytes, -1, false);
}

static off_t seek(int fd, off_t offset, int whence) {
  ixy_device *device = &ixy_devices[ixy_handle_of(fd).index];
  if (whence == SEEK_CUR) offset += (off_t)device->position;
  else if (whence != SEEK_SET) offset = -1;
  if (offset < 0) return result_of(-EINVAL);
  device->position = (uint64_t)offset;
  return offset;
}

#define LSEEK(name)                                                                                \
  IXY_EXPORT off_t name(int fd, off_t offset, int whence) {                                        \
    return ixy_handle_of(fd).kind == IXY_DEVICE ? seek(fd, offset, whence)                         \
                                                : IXY_REAL(name)(fd, offset, whence);              \
  }
LSEEK(lseek)
LSEEK(lseek64)

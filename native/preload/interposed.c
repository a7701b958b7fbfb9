// The functions that the program calls in place of the C library's: those on files and mappings;
// those on signals are in bar-pages.c. What concerns fds of ours goes to vfio.c, everything else to
// the C library untouched.
#include "preload.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int64_t result_of(int64_t value) {
  if (value >= 0) return value;
  errno = (int)-value;
  return -1;
}

static bool other(int fd) { return ixy_handle_of(fd).kind == IXY_OTHER; }

// --- Opening and closing

#ifndef __O_TMPFILE
#define __O_TMPFILE 020000000
#endif

// Gives a function its second name: on x86-64 off_t has 64 bits, so foo64 is the same as foo.
#define SAME(name, as) IXY_EXPORT __attribute__((alias(#as))) __typeof__(as) name;

// The argument behind `flags`, where there is one.
#define MODE(flags)                                                                                \
  ({                                                                                               \
    mode_t mode = 0;                                                                               \
    va_list rest;                                                                                  \
    va_start(rest, flags);                                                                         \
    if ((flags) & (O_CREAT | __O_TMPFILE)) mode = va_arg(rest, mode_t);                            \
    va_end(rest);                                                                                  \
    mode;                                                                                          \
  })
#define OURS_OR(path, theirs)                                                                      \
  int ours = ixy_vfio_open(path);                                                                  \
  return ours == IXY_NOT_OURS ? (theirs) : (int)result_of(ours);

IXY_EXPORT int open(const char *path, int flags, ...) {
  OURS_OR(path, IXY_REAL(open)(path, flags, MODE(flags)))
}

IXY_EXPORT int openat(int folder, const char *path, int flags, ...) {
  OURS_OR(path, IXY_REAL(openat)(folder, path, flags, MODE(flags)))
}

// What a compiler with _FORTIFY_SOURCE calls for an open without a mode.
int __open_2(const char *path, int flags);
IXY_EXPORT int __open_2(const char *path, int flags) {
  OURS_OR(path, IXY_REAL(__open_2)(path, flags))
}

int __openat_2(int folder, const char *path, int flags);
IXY_EXPORT int __openat_2(int folder, const char *path, int flags) {
  OURS_OR(path, IXY_REAL(__openat_2)(folder, path, flags))
}

SAME(open64, open)
SAME(openat64, openat)
SAME(__open64_2, __open_2)
SAME(__openat64_2, __openat_2)

IXY_EXPORT int close(int fd) {
  ixy_vfio_close(fd);
  return IXY_REAL(close)(fd);
}

IXY_EXPORT int dup(int fd) {
  int copy = IXY_REAL(dup)(fd);
  ixy_vfio_duplicate(fd, copy);
  return copy;
}

static void replace(int fd, int copy) {
  if (fd == copy) return;
  ixy_vfio_close(copy);
  ixy_vfio_duplicate(fd, copy);
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

IXY_EXPORT int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void *arg = va_arg(rest, void *);
  va_end(rest);
  int result = IXY_REAL(fcntl)(fd, command, arg);
  if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) ixy_vfio_duplicate(fd, result);
  return result;
}
SAME(fcntl64, fcntl)

// --- Calls

IXY_EXPORT int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void *arg = va_arg(rest, void *);
  va_end(rest);
  if (other(fd)) return IXY_REAL(ioctl)(fd, request, arg);
  return (int)result_of(ixy_vfio_ioctl(ixy_handle_of(fd), request, arg));
}

// Position -1 is where the fd stands, which then moves on.
static ssize_t access_at(int fd, void *data, size_t bytes, int64_t position, bool write) {
  return result_of(ixy_vfio_access(ixy_handle_of(fd), data, bytes, position, write));
}

IXY_EXPORT ssize_t read(int fd, void *data, size_t bytes) {
  return other(fd) ? IXY_REAL(read)(fd, data, bytes) : access_at(fd, data, bytes, -1, false);
}

IXY_EXPORT ssize_t write(int fd, const void *data, size_t bytes) {
  return other(fd) ? IXY_REAL(write)(fd, data, bytes)
                   : access_at(fd, (void *)data, bytes, -1, true);
}

IXY_EXPORT ssize_t pread(int fd, void *data, size_t bytes, off_t at) {
  return other(fd) ? IXY_REAL(pread)(fd, data, bytes, at) : access_at(fd, data, bytes, at, false);
}
SAME(pread64, pread)

IXY_EXPORT ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
  return other(fd) ? IXY_REAL(pwrite)(fd, data, bytes, at)
                   : access_at(fd, (void *)data, bytes, at, true);
}
SAME(pwrite64, pwrite)

// What a compiler with _FORTIFY_SOURCE calls where it knows the room of the buffer.
ssize_t __read_chk(int fd, void *data, size_t bytes, size_t room);
IXY_EXPORT ssize_t __read_chk(int fd, void *data, size_t bytes, size_t room) {
  return bytes > room ? IXY_REAL(__read_chk)(fd, data, bytes, room) : read(fd, data, bytes);
}

ssize_t __pread_chk(int fd, void *data, size_t bytes, off_t at, size_t room);
IXY_EXPORT ssize_t __pread_chk(int fd, void *data, size_t bytes, off_t at, size_t room) {
  return bytes > room ? IXY_REAL(__pread_chk)(fd, data, bytes, at, room)
                      : pread(fd, data, bytes, at);
}
SAME(__pread64_chk, __pread_chk)

IXY_EXPORT off_t lseek(int fd, off_t offset, int whence) {
  ixy_handle handle = ixy_handle_of(fd);
  return handle.kind == IXY_DEVICE ? result_of(ixy_vfio_seek(handle, offset, whence))
                                   : IXY_REAL(lseek)(fd, offset, whence);
}
SAME(lseek64, lseek)

// --- Mappings

IXY_EXPORT void *mmap(void *address, size_t bytes, int protection, int flags, int fd,
                      off_t offset) {
  int type = flags & MAP_TYPE;
  bool shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
  ixy_handle handle = ixy_handle_of(flags & MAP_ANONYMOUS ? -1 : fd);
  if (ixy_device_count() == 0 || bytes == 0)
    return IXY_REAL(mmap)(address, bytes, protection, flags, fd, offset);
  if (handle.kind == IXY_DEVICE) {
    if (flags & MAP_FIXED) ixy_mapping_forget((uint64_t)address, bytes);
    return ixy_vfio_map(handle, address, bytes, protection, flags, (uint64_t)offset);
  }
  if (flags & MAP_FIXED) ixy_vfio_unmapped((uint64_t)address, bytes);
  if ((flags & MAP_ANONYMOUS) && (shared || flags & MAP_HUGETLB))
    return ixy_map_anonymous(address, bytes, protection, flags);
  void *result = IXY_REAL(mmap)(address, bytes, protection, flags, fd, offset);
  if (result == MAP_FAILED) return result;
  if (shared) ixy_mapping_record((uint64_t)result, bytes, fd, (uint64_t)offset);
  else if (flags & MAP_FIXED) ixy_mapping_forget((uint64_t)result, bytes);
  return result;
}

SAME(mmap64, mmap)

IXY_EXPORT int munmap(void *address, size_t bytes) {
  int result = IXY_REAL(munmap)(address, bytes);
  if (result == 0 && ixy_device_count() > 0) {
    int error = errno;
    ixy_vfio_unmapped((uint64_t)address, bytes);
    ixy_mapping_forget((uint64_t)address, bytes);
    errno = error;
  }
  return result;
}

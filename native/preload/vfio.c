// What the program may do with containers, groups and devices, one call at a time: opening,
// duplicating and closing their fds, ioctl, read and write, mapping and unmapping. The lock over
// all of them is taken here; the files that these functions call need none.
#include "preload.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

IXY_OWN_LOCK(lock)
static int owner;   // the process that was started
static bool forked; // this is a child of its fork

static void after_fork(void) { forked = true; }

__attribute__((constructor)) static void start(void) {
  owner = getpid();
  pthread_atfork(NULL, NULL, after_fork);
}

int ixy_vfio_open(const char *path) {
  static const char folder[] = "/dev/vfio/";
  unsigned group;
  char rest;
  if (ixy_device_count() == 0 || path == NULL || strncmp(path, folder, sizeof folder - 1) != 0)
    return IXY_NOT_OURS;
  const char *name = path + sizeof folder - 1;
  ixy_kind kind = strcmp(name, "vfio") == 0 ? IXY_CONTAINER : IXY_GROUP;
  if (kind == IXY_GROUP && sscanf(name, "%u%c", &group, &rest) != 1) return IXY_NOT_OURS;
  int injected = ixy_injected(kind == IXY_CONTAINER ? "OPEN_CONTAINER" : "OPEN_GROUP");
  if (injected != 0) return -injected;
  IXY_HOLD(&lock);
  int index = kind == IXY_CONTAINER ? ixy_container_open() : ixy_group_open(group);
  if (index < 0) return index;
  int fd = ixy_handle_create(kind, index);
  if (fd < 0) ixy_handle_count((ixy_handle){kind, index}, -1);
  return fd;
}

void ixy_vfio_duplicate(int fd, int copy) {
  ixy_handle handle = ixy_handle_of(fd);
  if (handle.kind == IXY_OTHER || copy < 0) return;
  IXY_HOLD(&lock);
  if (ixy_handle_put(copy, handle)) ixy_handle_count(handle, 1);
}

// A child of fork or vfork closes its own copies of the fds, which must not end what the parent
// uses. A child of vfork also shares the table of handles with its parent, so it leaves that alone.
void ixy_vfio_close(int fd) {
  ixy_handle handle = ixy_handle_of(fd);
  if (handle.kind == IXY_OTHER) return;
  bool is_owner = owner == (int)syscall(SYS_getpid);
  if (is_owner || forked) ixy_handle_put(fd, (ixy_handle){IXY_OTHER, 0});
  if (!is_owner) return;
  IXY_HOLD(&lock);
  ixy_handle_count(handle, -1);
}

static int64_t answer(ixy_handle handle, unsigned long request, void *arg) {
  int injected = ixy_injected_ioctl(handle.kind, request);
  if (injected != 0) return -injected;
  IXY_HOLD(&lock);
  if (handle.kind == IXY_CONTAINER) return ixy_container_ioctl(handle.index, request, arg);
  if (handle.kind == IXY_GROUP) return ixy_group_ioctl(handle.index, request, arg);
  return ixy_device_ioctl(ixy_device_at(handle.index), request, arg);
}

int64_t ixy_vfio_ioctl(ixy_handle handle, unsigned long request, void *arg) {
  request = (uint32_t)request; // Python and Go sign-extend
  int64_t result = answer(handle, request, arg);
  if (result < 0) ixy_log("ioctl 0x%lx: %s", request, strerror((int)-result));
  return result;
}

int64_t ixy_vfio_access(ixy_handle handle, void *data, size_t bytes, int64_t position,
                        bool write) {
  if (handle.kind != IXY_DEVICE) return -EINVAL;
  ixy_device *device = ixy_device_at(handle.index);
  IXY_HOLD(&lock);
  uint64_t at = position < 0 ? device->position : (uint64_t)position;
  int64_t done = ixy_device_access(device, data, bytes, at, write);
  if (position < 0 && done > 0) device->position += (uint64_t)done;
  return done;
}

int64_t ixy_vfio_seek(ixy_handle handle, int64_t offset, int whence) {
  ixy_device *device = ixy_device_at(handle.index);
  IXY_HOLD(&lock);
  if (whence == SEEK_CUR) offset += (int64_t)device->position;
  else if (whence != SEEK_SET) offset = -1;
  if (offset < 0) return -EINVAL;
  device->position = (uint64_t)offset;
  return offset;
}

static void settle_devices(void) {
  int error = errno;
  for (unsigned i = 0; i < ixy_device_count(); i++) ixy_device_settle(ixy_device_at(i));
  errno = error;
}

void *ixy_vfio_map(ixy_handle handle, void *address, size_t bytes, int protection, int flags,
                   uint64_t position) {
  int injected = ixy_injected("MMAP");
  if (injected != 0) {
    errno = injected;
    return MAP_FAILED;
  }
  IXY_HOLD(&lock);
  void *result = ixy_bar_map(handle.index, address, bytes, protection, flags, position);
  settle_devices(); // MAP_FIXED may have replaced pages of others
  return result;
}

void ixy_vfio_unmapped(uint64_t vaddr, uint64_t bytes) {
  // Programs unmap often and BARs rarely, so only an unmapped BAR takes the lock.
  if (!ixy_bar_pages_in(vaddr, bytes)) return;
  IXY_HOLD(&lock);
  ixy_bar_forget(vaddr, bytes);
  settle_devices();
}

// Which fds stand for containers, groups and devices. Each is an open /dev/null, a character device
// as the real ones are, with an entry in a table beside it.
#include "preload.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS 65536
#define INDEX_BITS 8

// Kind and index, 0 for an fd that is not ours.
static atomic_ushort handles[FDS];

ixy_handle ixy_handle_of(int fd) {
  unsigned entry = fd >= 0 && fd < FDS ? atomic_load_explicit(&handles[fd], memory_order_acquire)
                                       : 0;
  return (ixy_handle){entry >> INDEX_BITS, entry & ((1 << INDEX_BITS) - 1)};
}

bool ixy_handle_put(int fd, ixy_handle handle) {
  if (fd < 0 || fd >= FDS) return false;
  atomic_store_explicit(&handles[fd], handle.kind << INDEX_BITS | handle.index,
                        memory_order_release);
  return true;
}

int ixy_handle_create(ixy_kind kind, unsigned index) {
  int fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (ixy_handle_put(fd, (ixy_handle){kind, index})) return fd;
  ixy_close(fd);
  return -EMFILE;
}

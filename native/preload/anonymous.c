// Anonymous memory that a device may get, made of a memfd so that it can be handed over: shared and
// huge-page mappings when the program asks for them, private ones when it maps them for DMA.
// Memory that came about without us, a stack or a shared mapping of unknown file, is refused.
#include "preload.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_SHIFT_MASK 0x3F
#define DEFAULT_HUGE_SHIFT 21

static int new_memfd(uint64_t bytes) {
  int fd = memfd_create("ixy-preload", MFD_CLOEXEC);
  if (fd >= 0 && ftruncate(fd, (off_t)bytes) != 0) {
    syscall(SYS_close, fd);
    return -1;
  }
  return fd;
}

// Where the program asked for huge pages it counts on their alignment, not on their being huge.
void *ixy_map_anonymous(void *address, size_t bytes, int protection, int flags) {
  unsigned shift = 12;
  if (flags & MAP_HUGETLB) {
    shift = flags >> MAP_HUGE_SHIFT & HUGE_SHIFT_MASK;
    if (shift == 0) shift = DEFAULT_HUGE_SHIFT;
  }
  uint64_t unit = 1ULL << shift, at = (uint64_t)address;
  bytes = (bytes + unit - 1) & ~(unit - 1);
  flags = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_NORESERVE | MAP_POPULATE)) | MAP_SHARED;
  int fd = new_memfd(bytes);
  if (fd < 0) return MAP_FAILED;
  if (shift > 12 && !(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
    void *spare = ixy_mmap(0, bytes + unit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (spare == MAP_FAILED) {
      syscall(SYS_close, fd);
      return spare;
    }
    at = ((uint64_t)spare + unit - 1) & ~(unit - 1);
    if (at > (uint64_t)spare) syscall(SYS_munmap, spare, at - (uint64_t)spare);
    if ((uint64_t)spare + unit > at) syscall(SYS_munmap, at + bytes, (uint64_t)spare + unit - at);
    flags |= MAP_FIXED;
  }
  void *result = ixy_mmap(at, bytes, protection, flags, fd, 0);
  int error = errno;
  if (result != MAP_FAILED) {
    if (shift > 12) madvise(result, bytes, MADV_HUGEPAGE);
    ixy_mapping_record((uint64_t)result, bytes, fd, 0);
  }
  syscall(SYS_close, fd);
  errno = error;
  return result;
}

// One private mapping, or the part of it that is asked for.
static int share_part(uint64_t vaddr, uint64_t bytes, int protection) {
  int fd = new_memfd(bytes), result = 0;
  if (fd < 0) return -errno;
  for (uint64_t done = 0; done < bytes && result == 0;) {
    ssize_t wrote = pwrite(fd, (void *)(vaddr + done), bytes - done, (off_t)done);
    if (wrote <= 0) result = wrote < 0 ? -errno : -EIO;
    else done += (uint64_t)wrote;
  }
  if (result == 0 &&
      ixy_mmap(vaddr, bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
    result = -errno;
  if (result == 0) ixy_mapping_record(vaddr, bytes, fd, 0);
  syscall(SYS_close, fd);
  return result;
}

typedef struct {
  uint64_t first, last;
  char rights[5];
  bool stack;
} kernel_mapping;

static bool read_line(const char *line, kernel_mapping *out) {
  unsigned long long first, last;
  if (sscanf(line, "%llx-%llx %4s", &first, &last, out->rights) != 3) return false;
  out->first = first;
  out->last = last;
  out->stack = strstr(line, "[stack") != NULL;
  return true;
}

// The line of /proc/self/maps about `vaddr`. No stdio: its buffers come from the program's heap.
static bool find_kernel_mapping(uint64_t vaddr, kernel_mapping *out) {
  char line[512], block[2048];
  size_t length = 0;
  bool found = false;
  long got;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return false;
  while (!found && (got = syscall(SYS_read, fd, block, sizeof block)) > 0)
    for (long i = 0; i < got && !found; i++) {
      if (block[i] != '\n') {
        if (length < sizeof line - 1) line[length++] = block[i];
        continue;
      }
      line[length] = '\0';
      length = 0;
      found = read_line(line, out) && vaddr >= out->first && vaddr < out->last;
    }
  syscall(SYS_close, fd);
  return found;
}

// What another thread stores between the copy and the remapping is lost: a program maps its
// memory for DMA before it uses it.
int ixy_mapping_share(uint64_t vaddr, uint64_t bytes) {
  uint64_t end = vaddr + bytes;
  kernel_mapping m;
  for (uint64_t at = vaddr; at < end;) {
    // Looked up again after each part: remapping changes the list. A stack is in use right now.
    if (!find_kernel_mapping(at, &m) || m.stack || m.rights[0] != 'r' || m.rights[3] != 'p')
      return -EFAULT;
    uint64_t part = (m.last < end ? m.last : end) - at;
    int bad = share_part(at, part, PROT_READ | (m.rights[1] == 'w' ? PROT_WRITE : 0));
    if (bad != 0) return bad;
    at += part;
  }
  return 0;
}

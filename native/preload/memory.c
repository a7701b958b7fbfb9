// The program's memory that devices may be given: which file lies behind which address, so that a
// MAP_DMA can hand the file over. Recorded at mmap time with a duplicate of the fd, since programs
// close theirs. Anonymous memory gets a memfd: shared and huge-page mappings when the program asks
// for them, private ones when it maps them for DMA. Memory that came about without us, a stack or a
// shared mapping of unknown file, is refused.
#include "preload.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_SHIFT_MASK 0x3F
#define DEFAULT_HUGE_SHIFT 21

typedef struct {
  int fd; // -1: the entry is free
  int holds;
  dev_t device;
  ino_t inode;
} file_entry;

IXY_OWN_LOCK(lock)
static ixy_mapping *mappings;
static size_t mapping_count, mapping_capacity;
static file_entry *files;
static size_t file_count, file_capacity;

// --- Files, counted; called with the lock held

static int file_of(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return -1;
  size_t free_at = file_count;
  for (size_t i = 0; i < file_count; i++) {
    if (files[i].fd < 0) free_at = i;
    else if (files[i].device == status.st_dev && files[i].inode == status.st_ino) {
      files[i].holds++;
      return (int)i;
    }
  }
  if (!IXY_RESERVE(files, file_capacity, file_count + 1)) return -1;
  int copy = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return -1;
  files[free_at] = (file_entry){copy, 1, status.st_dev, status.st_ino};
  if (free_at == file_count) file_count++;
  return (int)free_at;
}

static void drop_file(int file) {
  if (--files[file].holds > 0) return;
  ixy_close(files[file].fd);
  files[file].fd = -1;
}

int ixy_file_fd(int file) {
  IXY_HOLD(&lock);
  return files[file].fd;
}

void ixy_file_hold(int file) {
  IXY_HOLD(&lock);
  files[file].holds++;
}

void ixy_file_release(int file) {
  IXY_HOLD(&lock);
  drop_file(file);
}

// --- Mappings; called with the lock held

static void add_mapping(uint64_t vaddr, uint64_t bytes, int fd, uint64_t offset) {
  if (!IXY_RESERVE(mappings, mapping_capacity, mapping_count + 2)) return;
  int file = file_of(fd);
  if (file < 0) return;
  mappings[mapping_count++] = (ixy_mapping){vaddr, ixy_whole_pages(bytes), file, offset};
}

static void forget(uint64_t vaddr, uint64_t bytes) {
  uint64_t end = vaddr + ixy_whole_pages(bytes);
  for (size_t i = mapping_count; i-- > 0;) {
    ixy_mapping *m = &mappings[i], tail = *m;
    uint64_t m_end = m->vaddr + m->size;
    if (m->vaddr >= end || m_end <= vaddr) continue;
    bool keeps_head = m->vaddr < vaddr, keeps_tail = m_end > end;
    if (keeps_head) m->size = vaddr - m->vaddr;
    if (keeps_tail) {
      tail = (ixy_mapping){end, m_end - end, tail.file, tail.file_offset + (end - tail.vaddr)};
      if (!keeps_head) *m = tail;
      else if (IXY_RESERVE(mappings, mapping_capacity, mapping_count + 1)) {
        files[tail.file].holds++;
        mappings[mapping_count++] = tail;
      }
    }
    if (keeps_head || keeps_tail) continue;
    drop_file(m->file);
    *m = mappings[--mapping_count];
  }
}

bool ixy_mapping_at(uint64_t vaddr, ixy_mapping *mapping, uint64_t *next) {
  bool found = false;
  *next = 0;
  IXY_HOLD(&lock);
  for (size_t i = 0; i < mapping_count && !found; i++) {
    const ixy_mapping *m = &mappings[i];
    found = vaddr >= m->vaddr && vaddr < m->vaddr + m->size;
    if (found) *mapping = *m;
    else if (m->vaddr > vaddr && (*next == 0 || m->vaddr < *next)) *next = m->vaddr;
  }
  if (found) files[mapping->file].holds++;
  return found;
}

void ixy_mapping_forget(uint64_t vaddr, uint64_t bytes) {
  if (mapping_count == 0) return;
  IXY_HOLD(&lock);
  forget(vaddr, bytes);
}

void ixy_mapping_record(uint64_t vaddr, uint64_t bytes, int fd, uint64_t offset) {
  int error = errno;
  IXY_HOLD(&lock);
  forget(vaddr, bytes);
  add_mapping(vaddr, bytes, fd, offset);
  errno = error;
}

// --- Anonymous memory

static int new_memfd(uint64_t bytes) {
  int fd = memfd_create("ixy-preload", MFD_CLOEXEC);
  if (fd >= 0 && ftruncate(fd, (off_t)bytes) != 0) {
    ixy_close(fd);
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
      ixy_close(fd);
      return spare;
    }
    at = ((uint64_t)spare + unit - 1) & ~(unit - 1);
    if (at > (uint64_t)spare) ixy_munmap((uint64_t)spare, at - (uint64_t)spare);
    if ((uint64_t)spare + unit > at) ixy_munmap(at + bytes, (uint64_t)spare + unit - at);
    flags |= MAP_FIXED;
  }
  void *result = ixy_mmap(at, bytes, protection, flags, fd, 0);
  int error = errno;
  if (result != MAP_FAILED) {
    if (shift > 12) madvise(result, bytes, MADV_HUGEPAGE);
    ixy_mapping_record((uint64_t)result, bytes, fd, 0);
  }
  ixy_close(fd);
  errno = error;
  return result;
}

// Puts a memfd with the same content in the place of private memory that is one mapping.
static int share_part(uint64_t vaddr, uint64_t bytes, int protection) {
  int fd = new_memfd(bytes), result = 0;
  if (fd < 0) return -errno;
  for (uint64_t done = 0; done < bytes && result == 0;) {
    long wrote = syscall(SYS_pwrite64, fd, vaddr + done, bytes - done, done);
    if (wrote <= 0) result = wrote < 0 ? -errno : -EIO;
    else done += (uint64_t)wrote;
  }
  if (result == 0 &&
      ixy_mmap(vaddr, bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
    result = -errno;
  if (result == 0) ixy_mapping_record(vaddr, bytes, fd, 0);
  ixy_close(fd);
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

// Finds the line of /proc/self/maps that covers `vaddr`. It does without stdio, whose buffers come
// from the program's heap.
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
  ixy_close(fd);
  return found;
}

// What another thread stores between the copy and the remapping is lost: a program maps its
// memory for DMA before it uses it.
int ixy_mapping_share(uint64_t vaddr, uint64_t bytes) {
  uint64_t end = vaddr + bytes;
  kernel_mapping m;
  for (uint64_t at = vaddr; at < end;) {
    // Looked up again after each part, since remapping changes the list. A stack is refused: the
    // running code uses it.
    if (!find_kernel_mapping(at, &m) || m.stack || m.rights[0] != 'r' || m.rights[3] != 'p')
      return -EFAULT;
    uint64_t part = (m.last < end ? m.last : end) - at;
    int bad = share_part(at, part, PROT_READ | (m.rights[1] == 'w' ? PROT_WRITE : 0));
    if (bad != 0) return bad;
    at += part;
  }
  return 0;
}

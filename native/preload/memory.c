// The program's shared memory: which file lies behind which address, so that a MAP_DMA can hand
// the file to the devices. Recorded at mmap time with a duplicate of the fd, since programs close
// theirs. Anonymous memory, which has no file, is made to have one in anonymous.c.
#include "preload.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct {
  int fd; // -1: the entry is free
  int holds;
  dev_t device;
  ino_t inode;
} file_entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ixy_mapping *mappings;
static size_t mapping_count, mapping_capacity;
static file_entry *files;
static size_t file_count, file_capacity;

void *ixy_mmap(uint64_t address, size_t bytes, int protection, int flags, int fd,
               uint64_t offset) {
  return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}

bool ixy_reserve(void **items, size_t *capacity, size_t need, size_t item_bytes) {
  if (need <= *capacity) return true;
  size_t old = *capacity * item_bytes;
  size_t bytes = old == 0 ? 65536 : old * 2;
  while (bytes < need * item_bytes) bytes *= 2;
  void *grown =
      old == 0 ? ixy_mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
               : (void *)syscall(SYS_mremap, *items, old, bytes, MREMAP_MAYMOVE);
  if (grown == MAP_FAILED) return false;
  *items = grown;
  *capacity = bytes / item_bytes;
  return true;
}

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
  if (!ixy_reserve((void **)&files, &file_capacity, file_count + 1, sizeof *files)) return -1;
  int copy = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return -1;
  files[free_at] = (file_entry){copy, 1, status.st_dev, status.st_ino};
  if (free_at == file_count) file_count++;
  return (int)free_at;
}

static void drop_file(int file) {
  if (--files[file].holds > 0) return;
  syscall(SYS_close, files[file].fd);
  files[file].fd = -1;
}

int ixy_file_fd(int file) {
  sigset_t saved;
  ixy_lock(&lock, &saved);
  int fd = files[file].fd;
  ixy_unlock(&lock, &saved);
  return fd;
}

void ixy_file_hold(int file) {
  sigset_t saved;
  ixy_lock(&lock, &saved);
  files[file].holds++;
  ixy_unlock(&lock, &saved);
}

void ixy_file_release(int file) {
  sigset_t saved;
  ixy_lock(&lock, &saved);
  drop_file(file);
  ixy_unlock(&lock, &saved);
}

// --- Mappings; called with the lock held

static void add_mapping(uint64_t vaddr, uint64_t bytes, int fd, uint64_t offset) {
  if (!ixy_reserve((void **)&mappings, &mapping_capacity, mapping_count + 2, sizeof *mappings))
    return;
  int file = file_of(fd);
  if (file < 0) return;
  bytes = (bytes + IXY_PAGE - 1) & ~(IXY_PAGE - 1);
  mappings[mapping_count++] = (ixy_mapping){vaddr, bytes, file, offset};
}

static void forget(uint64_t vaddr, uint64_t bytes) {
  uint64_t end = vaddr + ((bytes + IXY_PAGE - 1) & ~(IXY_PAGE - 1));
  for (size_t i = mapping_count; i-- > 0;) {
    ixy_mapping *m = &mappings[i], tail = *m;
    uint64_t m_end = m->vaddr + m->size;
    if (m->vaddr >= end || m_end <= vaddr) continue;
    bool keeps_head = m->vaddr < vaddr, keeps_tail = m_end > end;
    if (keeps_head) m->size = vaddr - m->vaddr;
    if (keeps_tail) {
      tail = (ixy_mapping){end, m_end - end, tail.file, tail.file_offset + (end - tail.vaddr)};
      if (!keeps_head) *m = tail;
      else if (ixy_reserve((void **)&mappings, &mapping_capacity, mapping_count + 1,
                           sizeof *mappings)) {
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
  sigset_t saved;
  *next = 0;
  ixy_lock(&lock, &saved);
  for (size_t i = 0; i < mapping_count && !found; i++) {
    const ixy_mapping *m = &mappings[i];
    found = vaddr >= m->vaddr && vaddr < m->vaddr + m->size;
    if (found) *mapping = *m;
    else if (m->vaddr > vaddr && (*next == 0 || m->vaddr < *next)) *next = m->vaddr;
  }
  if (found) files[mapping->file].holds++;
  ixy_unlock(&lock, &saved);
  return found;
}

void ixy_mapping_forget(uint64_t vaddr, uint64_t bytes) {
  sigset_t saved;
  if (mapping_count == 0) return;
  ixy_lock(&lock, &saved);
  forget(vaddr, bytes);
  ixy_unlock(&lock, &saved);
}

void ixy_mapping_record(uint64_t vaddr, uint64_t bytes, int fd, uint64_t offset) {
  sigset_t saved;
  int error = errno;
  ixy_lock(&lock, &saved);
  forget(vaddr, bytes);
  add_mapping(vaddr, bytes, fd, offset);
  ixy_unlock(&lock, &saved);
  errno = error;
}

void ixy_memory_after_fork(void) { pthread_mutex_init(&lock, NULL); }

// --- What the program calls

static void *map_for_program(void *address, size_t bytes, int protection, int flags, int fd,
                             off_t offset) {
  int type = flags & MAP_TYPE;
  bool shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
  if (ixy_device_count == 0 || bytes == 0)
    return IXY_REAL(mmap)(address, bytes, protection, flags, fd, offset);
  if (flags & MAP_ANONYMOUS) {
    if (flags & MAP_FIXED) ixy_trap_forget((uint64_t)address, bytes);
    if (shared || flags & MAP_HUGETLB) return ixy_map_anonymous(address, bytes, protection, flags);
  } else {
    ixy_handle handle = ixy_handle_of(fd);
    if (handle.kind == IXY_DEVICE) {
      if (flags & MAP_FIXED) ixy_mapping_forget((uint64_t)address, bytes);
      return ixy_bar_map(handle.index, address, bytes, protection, flags, (uint64_t)offset);
    }
    if (flags & MAP_FIXED) ixy_trap_forget((uint64_t)address, bytes);
  }
  void *result = IXY_REAL(mmap)(address, bytes, protection, flags, fd, offset);
  if (result == MAP_FAILED) return result;
  if (shared && !(flags & MAP_ANONYMOUS)) ixy_mapping_record((uint64_t)result, bytes, fd, (uint64_t)offset);
  else if (flags & MAP_FIXED) ixy_mapping_forget((uint64_t)result, bytes);
  return result;
}

IXY_EXPORT void *mmap(void *address, size_t bytes, int protection, int flags, int fd,
                      off_t offset) {
  return map_for_program(address, bytes, protection, flags, fd, offset);
}

IXY_EXPORT void *mmap64(void *address, size_t bytes, int protection, int flags, int fd,
                        off_t offset) {
  return map_for_program(address, bytes, protection, flags, fd, offset);
}

IXY_EXPORT int munmap(void *address, size_t bytes) {
  int result = IXY_REAL(munmap)(address, bytes);
  if (result == 0 && ixy_device_count > 0) {
    int error = errno;
    ixy_trap_forget((uint64_t)address, bytes);
    ixy_mapping_forget((uint64_t)address, bytes);
    errno = error;
  }
  return result;
}

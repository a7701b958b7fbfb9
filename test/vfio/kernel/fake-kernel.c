// Stands in for the kernel where the preload library does not: device files with iommufd, groups of
// several devices or that are not viable, a container without capabilities. An LD_PRELOAD library;
// its numbers and offsets are written out again from docs/82599-vf.md sec 9. A device is a sparse memfd, so
// that read, write and mmap need no help.
//   FAKE_LOG     file that gets a line a request
//   FAKE_ERRNO   NAME=NUMBER@NTH,...: the nth request of that name fails
//   FAKE_RANGES  IOVA ranges the IOAS has once a device is attached (default 2)
//   FAKE_REGION  plain, sparse, loop, outside, unmappable: what BAR0's info looks like
//   FAKE_GROUP   viable or not
//   FAKE_API     what GET_API_VERSION answers (default 0)
//   FAKE_EVENTS  interrupts of ERR and of REQ, each (default 0); REQ comes as soon as it is connected
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OTHER, IOMMU, DEVICE, CONTAINER, GROUP };
static const char *const kinds[] = {"", "iommu", "device", "container", "group"};
static struct {
  int kind, bound, attached;
} files[1024];
static int ioas, attached_devices, groups, iommu_set;
static struct {
  uint64_t iova, size;
} maps[64];

#define U32(at) (*(uint32_t *)((char *)arg + (at)))
#define U64(at) (*(uint64_t *)((char *)arg + (at)))

static const char *setting(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value != NULL ? value : otherwise;
}

static void note(const char *format, ...) {
  va_list rest;
  int fd = (int)syscall(SYS_open, setting("FAKE_LOG", "/dev/null"), O_WRONLY | O_APPEND | O_CREAT, 0600);
  va_start(rest, format);
  vdprintf(fd, format, rest);
  va_end(rest);
  syscall(SYS_close, fd);
}

// errno that FAKE_ERRNO wants this request to fail with, or 0.
static int injected(const char *name) {
  static struct {
    char name[40];
    unsigned calls;
  } seen[64];
  unsigned i = 0;
  while (seen[i].name[0] != '\0' && strcmp(seen[i].name, name) != 0) i++;
  snprintf(seen[i].name, sizeof seen[i].name, "%s", name);
  seen[i].calls++;
  for (const char *at = setting("FAKE_ERRNO", ""); at != NULL && *at != '\0';) {
    char item[40];
    int error;
    unsigned nth;
    if (sscanf(at, "%39[A-Z_]=%d@%u", item, &error, &nth) == 3 && strcmp(item, name) == 0 &&
        nth == seen[i].calls)
      return error;
    at = strchr(at, ',');
    if (at != NULL) at++;
  }
  return 0;
}

static int opened(const char *path) {
  const char *name = strrchr(path, '/') + 1;
  if (strstr(path, "/dev/") == NULL) return -1;
  if (strcmp(name, "iommu") == 0) return IOMMU;
  if (strstr(path, "/vfio/devices/") != NULL) return DEVICE;
  if (strstr(path, "/vfio/") == NULL) return -1;
  return strcmp(name, "vfio") == 0 ? CONTAINER : GROUP;
}

static int make_device(void) {
  uint16_t header[3] = {0x8086, 0x10ed, 0x0006};
  uint32_t status = 0x12345678;
  int fd = memfd_create("fake", MFD_CLOEXEC);
  if (ftruncate(fd, 8LL << 40) != 0) abort();
  if (pwrite(fd, header, sizeof header, 7LL << 40) < 0) abort();
  if (pwrite(fd, &status, sizeof status, 8) < 0) abort();
  return fd;
}

static int open_fake(int kind) {
  static const char *const names[] = {"", "OPEN_IOMMU", "OPEN_DEVICE", "OPEN_CONTAINER", "OPEN_GROUP"};
  int error = injected(names[kind]);
  if (error != 0) {
    errno = error;
    return -1;
  }
  for (int i = 0; i < 1024 && kind == GROUP; i++) {
    if (files[i].kind != GROUP) continue;
    errno = EBUSY;
    return -1;
  }
  int fd = kind == DEVICE ? make_device() : memfd_create("fake", MFD_CLOEXEC);
  files[fd].kind = kind;
  files[fd].bound = files[fd].attached = 0;
  return fd;
}

int open(const char *path, int flags, ...) {
  static int (*real)(const char *, int, ...);
  va_list rest;
  va_start(rest, flags);
  int mode = va_arg(rest, int), kind = opened(path);
  va_end(rest);
  if (kind > 0) return open_fake(kind);
  if (real == NULL) real = dlsym(RTLD_NEXT, "open");
  return real(path, flags, mode);
}

int close(int fd) {
  static int (*real)(int);
  if (real == NULL) real = dlsym(RTLD_NEXT, "close");
  if (fd >= 0 && fd < 1024 && files[fd].kind != OTHER) {
    if (files[fd].kind == DEVICE && files[fd].attached) attached_devices--;
    if (files[fd].kind == GROUP) groups = iommu_set = 0;
    note("CLOSE %s\n", kinds[files[fd].kind]);
    files[fd].kind = OTHER;
  }
  return real(fd);
}

static int put_capability(char *arg, uint32_t id, uint32_t next) {
  *(uint16_t *)(arg + 32) = (uint16_t)id;
  *(uint16_t *)(arg + 34) = 1;
  *(uint32_t *)(arg + 36) = next;
  *(uint32_t *)(arg + 40) = 1; // areas
  *(uint64_t *)(arg + 48) = 0x1000;
  *(uint64_t *)(arg + 56) = 0x2000;
  return 0;
}

static int region_info(char *arg) {
  const char *shape = setting("FAKE_REGION", "plain");
  uint32_t index = U32(8), room = U32(0);
  U32(4) = 7;
  U32(12) = 0;
  U64(16) = index == 7 ? 4096 : index == 0 ? 0x4000 : 0;
  U64(24) = (uint64_t)index << 40;
  if (index != 0 || strcmp(shape, "plain") == 0) return 0;
  if (strcmp(shape, "unmappable") == 0) {
    U32(4) = 3;
    return 0;
  }
  U32(4) = 15;
  U32(0) = 64;
  if (room < 64) return 0;
  U32(12) = strcmp(shape, "outside") == 0 ? 60 : 32;
  return put_capability(arg, strcmp(shape, "sparse") == 0 ? 1 : 9,
                        strcmp(shape, "loop") == 0 ? 32 : 0);
}

static int device_call(int fd, unsigned request, char *arg) {
  if (request == 0x3b76) {
    note("BIND argsz=%u flags=%u iommufd=%s\n", U32(0), U32(4),
         files[U32(8)].kind == IOMMU ? "yes" : "no");
    if (U32(0) != 16 || files[U32(8)].kind != IOMMU) return EINVAL;
    files[fd].bound = 1;
    return 0;
  }
  if (!files[fd].bound) return EINVAL;
  switch (request) {
  case 0x3b77:
    note("ATTACH argsz=%u flags=%u pt=%u\n", U32(0), U32(4), U32(8));
    if (U32(0) != 12 || U32(4) != 0) return EINVAL;
    if (ioas == 0 || (int)U32(8) != ioas) return ENOENT;
    files[fd].attached = 1;
    attached_devices++;
    return 0;
  case 0x3b78:
    note("DETACH argsz=%u flags=%u\n", U32(0), U32(4));
    if (U32(0) != 8) return EINVAL;
    files[fd].attached = 0;
    attached_devices--;
    return 0;
  case 0x3b6b:
    U32(4) = 3;
    U32(8) = 9;
    U32(12) = 5;
    return 0;
  case 0x3b6c:
    return region_info(arg);
  case 0x3b6d:
    U32(4) = 9;
    U32(12) = U32(8) == 2 ? 3 : U32(8) > 2 ? (uint32_t)atoi(setting("FAKE_EVENTS", "0")) : 0;
    return 0;
  case 0x3b6e:
    if (U32(8) == 4 && U32(16) == 1 && eventfd_write((int)U32(20), 1) != 0) return EBADF;
    note("SET_IRQS argsz=%u flags=0x%x index=%u start=%u count=%u unused=%d\n", U32(0), U32(4),
         U32(8), U32(12), U32(16), U32(16) == 3 ? (U32(20) == ~0u) + (U32(24) == ~0u) + (U32(28) == ~0u) : 0);
    return U32(0) == 20 + 4 * U32(16) ? 0 : EINVAL;
  case 0x3b6f: {
    uint16_t command;
    pread(fd, &command, 2, (7LL << 40) + 4);
    note("RESET master=%d\n", (command & 4) != 0);
    return 0;
  }
  default:
    return ENOTTY;
  }
}

static int ranges(char *arg) {
  uint32_t count = attached_devices > 0 ? (uint32_t)atoi(setting("FAKE_RANGES", "2")) : 1;
  uint32_t room = U32(8);
  note("RANGES size=%u room=%u attached=%d\n", U32(0), room, attached_devices);
  U32(8) = count;
  U64(24) = 4096;
  uint64_t *pairs = (uint64_t *)U64(16);
  for (uint32_t i = 0; i < count && i < room; i++) {
    pairs[2 * i] = (uint64_t)i << 32;
    pairs[2 * i + 1] = ((uint64_t)(i + 1) << 32) - 1;
  }
  if (count <= room && count > 1) pairs[2 * count - 1] = ~0ULL;
  return count > room ? EMSGSIZE : 0;
}

static int map(char *arg) {
  note("MAP size=%u flags=%u ioas=%u iova=0x%llx length=0x%llx\n", U32(0), U32(4), U32(8),
       (long long)U64(32), (long long)U64(24));
  if (U32(0) != 40 || U32(4) != 7 || (int)U32(8) != ioas) return EINVAL;
  for (int i = 0; i < 64; i++) {
    if (maps[i].size != 0 && maps[i].iova < U64(32) + U64(24) && U64(32) < maps[i].iova + maps[i].size)
      return EEXIST;
  }
  for (int i = 0; i < 64; i++) {
    if (maps[i].size != 0) continue;
    maps[i].iova = U64(32);
    maps[i].size = U64(24);
    return 0;
  }
  return ENOSPC;
}

static int unmap(char *arg) {
  note("UNMAP size=%u ioas=%u iova=0x%llx length=0x%llx\n", U32(0), U32(4), (long long)U64(8),
       (long long)U64(16));
  for (int i = 0; i < 64; i++) {
    if (maps[i].size == 0 || maps[i].iova != U64(8) || maps[i].size != U64(16)) continue;
    maps[i].size = 0;
    return 0;
  }
  return ENOENT;
}

static int iommu_call(unsigned request, char *arg) {
  switch (request) {
  case 0x3b81:
    note("IOAS_ALLOC size=%u flags=%u\n", U32(0), U32(4));
    ioas = 7;
    U32(8) = 7;
    return 0;
  case 0x3b80:
    note("DESTROY size=%u id=%u\n", U32(0), U32(4));
    if (attached_devices > 0) return EBUSY;
    ioas = 0;
    return 0;
  case 0x3b84:
    return ranges(arg);
  case 0x3b85:
    return map(arg);
  case 0x3b86:
    return unmap(arg);
  default:
    return ENOTTY;
  }
}

static int type1_map(char *arg) {
  note("MAP_DMA argsz=%u flags=%u iova=0x%llx size=0x%llx\n", U32(0), U32(4), (long long)U64(16),
       (long long)U64(24));
  return U32(0) == 32 && U32(4) == 3 ? 0 : EINVAL;
}

static int container_call(unsigned request, char *arg) {
  switch (request) {
  case 0x3b66:
    note("SET_IOMMU %ld\n", (long)arg);
    if (groups == 0 || iommu_set) return EINVAL;
    iommu_set = 1;
    return 0;
  case 0x3b70:
    U32(4) = 1; // page sizes, no capabilities: a kernel before 5.4
    U64(8) = 4096;
    return 0;
  case 0x3b71:
    return type1_map(arg);
  case 0x3b72:
    note("UNMAP_DMA argsz=%u iova=0x%llx size=0x%llx\n", U32(0), (long long)U64(8),
         (long long)U64(16));
    return 0;
  default:
    return ENOTTY;
  }
}

// The fd, or -errno.
static int group_call(unsigned request, char *arg) {
  int fd;
  switch (request) {
  case 0x3b67:
    U32(4) = strcmp(setting("FAKE_GROUP", "viable"), "viable") == 0;
    return 0;
  case 0x3b68:
    note("SET_CONTAINER %s\n", kinds[files[*(int *)arg].kind]);
    groups++;
    return 0;
  case 0x3b6a:
    note("GET_DEVICE_FD %s\n", arg);
    if (!iommu_set) return -EINVAL;
    fd = make_device();
    files[fd].kind = DEVICE;
    files[fd].bound = 1;
    files[fd].attached = 0;
    return fd;
  default:
    return -ENOTTY;
  }
}

static const char *name_of(unsigned request) {
  static const char *const names[] = {
      [0x6b] = "GET_INFO", [0x6c] = "GET_REGION_INFO", [0x6d] = "GET_IRQ_INFO", [0x6e] = "SET_IRQS",
      [0x6f] = "RESET",    [0x76] = "BIND",            [0x77] = "ATTACH",       [0x78] = "DETACH",
      [0x80] = "DESTROY",  [0x81] = "IOAS_ALLOC",      [0x84] = "RANGES",       [0x85] = "MAP",
      [0x86] = "UNMAP",    [0x8f] = NULL,
  };
  const char *name = request - 0x3b00 < 0x8f ? names[request - 0x3b00] : NULL;
  return name != NULL ? name : "";
}

int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, ...);
  va_list rest;
  va_start(rest, request);
  char *arg = va_arg(rest, char *);
  va_end(rest);
  int kind = fd >= 0 && fd < 1024 ? files[fd].kind : OTHER, error = 0;
  if (kind == OTHER) {
    if (real == NULL) real = dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, arg);
  }
  if (kind == CONTAINER && request == 0x3b64) return atoi(setting("FAKE_API", "0"));
  if (kind == CONTAINER && request == 0x3b65) return arg == (char *)3;
  if (kind == GROUP) {
    int result = group_call((unsigned)request, arg);
    if (result >= 0) return result;
    errno = -result;
    return -1;
  }
  error = injected(name_of((unsigned)request));
  if (error != 0) note("%s fails\n", name_of((unsigned)request));
  else error = kind == DEVICE  ? device_call(fd, (unsigned)request, arg)
               : kind == IOMMU ? iommu_call((unsigned)request, arg)
                               : container_call((unsigned)request, arg);
  if (error == 0) return 0;
  errno = error;
  return -1;
}

// What the files of the preload library share. The library answers Linux's VFIO group and container
// calls of an unmodified program from vfio-user sockets. Numbers and structures of the calls:
// <linux/vfio.h>; of the sockets: the vfio-user specification. Functions that can fail return
// -errno. No malloc anywhere: the program's own allocator may call the mmap that is ours.
//
// Each section is one file. A file uses only what the sections above its own declare, and calls the
// kernel where the library has taken the C library's place, so that calls go in one direction: from
// the program to interposed.c and on downwards. test/native/layers.test.ts holds this. One way back
// is inherent and goes through the kernel: the program's own load or store on a trapped page runs
// the fault handler of bar-pages.c, which runs the program's handler for faults that are not ours.
#ifndef IXY_PRELOAD_H
#define IXY_PRELOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "../unix-stream.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define IXY_PAGE 4096ULL
#define IXY_COUNT(list) (sizeof(list) / sizeof((list)[0]))

// --- base.c: the C library's own functions, locks, arrays, the environment

// A name the program's calls find before the C library's.
#define IXY_EXPORT __attribute__((visibility("default")))
// The function that an interposed one hides; looked up at its first use.
#define IXY_REAL(name)                                                                             \
  ({                                                                                               \
    static __typeof__(&name) kept;                                                                 \
    __typeof__(&name) found = __atomic_load_n(&kept, __ATOMIC_RELAXED);                            \
    if (found == NULL) {                                                                           \
      found = (__typeof__(&name))ixy_real(#name);                                                  \
      __atomic_store_n(&kept, found, __ATOMIC_RELAXED);                                            \
    }                                                                                              \
    found;                                                                                         \
  })
void *ixy_real(const char *name);

// The system calls, past the functions that the program calls.
void *ixy_mmap(uint64_t address, size_t bytes, int protection, int flags, int fd, uint64_t offset);
void ixy_munmap(uint64_t address, size_t bytes);
void ixy_close(int fd);

// A lock is held with all signals blocked: a handler that ran in between could fault on a trapped
// page, and the answer to that fault takes the same locks. Where several are held, they were taken
// in this order: the one of vfio.c, of memory.c, of bar-pages.c, a client's.
typedef struct {
  pthread_mutex_t *lock;
  sigset_t signals; // what was blocked before
} ixy_guard;
ixy_guard ixy_lock(pthread_mutex_t *lock);
void ixy_unlock(const ixy_guard *guard);
// Holds a lock until the end of the block.
#define IXY_HOLD(lock)                                                                             \
  ixy_guard guard __attribute__((cleanup(ixy_unlock), unused)) = ixy_lock(lock)
// The lock of a file. A child of fork has one thread, and the locks as all threads of its parent
// left them: so each file frees its own there.
#define IXY_OWN_LOCK(name)                                                                         \
  static pthread_mutex_t name = PTHREAD_MUTEX_INITIALIZER;                                         \
  static void free_##name(void) { pthread_mutex_init(&name, NULL); }                               \
  __attribute__((constructor)) static void start_##name(void) {                                    \
    pthread_atfork(NULL, NULL, free_##name);                                                       \
  }

// Room for `need` items; the memory comes from the kernel and never moves to the program's heap.
bool ixy_reserve(void **items, size_t *capacity, size_t need, size_t item_bytes);
#define IXY_RESERVE(items, capacity, need)                                                         \
  ixy_reserve((void **)&(items), &(capacity), need, sizeof *(items))

static inline uint64_t ixy_whole_pages(uint64_t bytes) {
  return (bytes + IXY_PAGE - 1) & ~(IXY_PAGE - 1);
}

void ixy_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool ixy_is_set(const char *variable); // to 1
// Hands each item of a variable's list to `add`; commas separate them.
void ixy_for_each_item(const char *variable, void (*add)(const char *item));
// Ends the program, whose environment cannot be meant so.
_Noreturn void ixy_refuse(const char *variable, const char *expected, const char *got);

// --- decode.c: the instructions that touch trapped pages

#include "decode.h"

// --- handles.c: which fds are ours

typedef enum { IXY_OTHER, IXY_CONTAINER, IXY_GROUP, IXY_DEVICE } ixy_kind;

typedef struct {
  ixy_kind kind;
  unsigned index;
} ixy_handle;

ixy_handle ixy_handle_of(int fd);
bool ixy_handle_put(int fd, ixy_handle handle);       // false for an fd that the table cannot hold
int ixy_handle_create(ixy_kind kind, unsigned index); // fd, O_CLOEXEC

// --- injected.c: calls that are to fail

// Positive errno that IXY_PRELOAD_ERRNO wants `call`, or this ioctl, to fail with now, or 0.
int ixy_injected(const char *call);
int ixy_injected_ioctl(ixy_kind kind, unsigned long request);

// --- memory.c: which file lies behind the program's memory

typedef struct {
  uint64_t vaddr, size;
  int file; // index of a counted fd
  uint64_t file_offset;
} ixy_mapping;

// The shared mapping that holds `vaddr`, its file's count raised; false where there is none. `next`
// gets the start of the next mapping above.
bool ixy_mapping_at(uint64_t vaddr, ixy_mapping *mapping, uint64_t *next);
void ixy_mapping_forget(uint64_t vaddr, uint64_t bytes);
void ixy_mapping_record(uint64_t vaddr, uint64_t bytes, int fd, uint64_t offset);
// Private memory turned into shared memory with the same content.
int ixy_mapping_share(uint64_t vaddr, uint64_t bytes);
// Memory that is shared from the start; what mmap returns.
void *ixy_map_anonymous(void *address, size_t bytes, int protection, int flags);
int ixy_file_fd(int file);
void ixy_file_hold(int file);
void ixy_file_release(int file);

// --- client.c: one connection to a vfio-user server

typedef struct {
  pthread_mutex_t lock;
  int fd; // -1 while there is none, or once it was lost
  uint16_t next_id;
  unsigned max_fds; // fds the server takes in one message
} ixy_client;

typedef struct {
  const void *payload;
  size_t bytes;
  const int *fds;
  unsigned fd_count;
} ixy_message;

typedef struct {
  void *payload;
  size_t capacity;
  bool takes_fd; // else a reply with an fd is a broken one
  size_t bytes;  // payload bytes that came
  int fd;        // the fd that came along, or -1
} ixy_reply;

int ixy_client_connect(ixy_client *client, const char *path);
void ixy_client_close(ixy_client *client);
// One command and its reply. A dead or silent server loses the connection: -EIO from then on.
int ixy_client_ask(ixy_client *client, unsigned command, const ixy_message *message,
                   ixy_reply *reply);
// 1, 2, 4 or 8 bytes of a region; a read of a device that is gone gives all ones.
int ixy_client_read(ixy_client *client, unsigned region, uint64_t offset, unsigned width,
                    uint64_t *value);
int ixy_client_write(ixy_client *client, unsigned region, uint64_t offset, unsigned width,
                     uint64_t value);

enum {
  IXY_USER_VERSION = 1,
  IXY_USER_DMA_MAP = 2,
  IXY_USER_DMA_UNMAP = 3,
  IXY_USER_GET_INFO = 4,
  IXY_USER_GET_REGION_INFO = 5,
  IXY_USER_GET_IRQ_INFO = 7,
  IXY_USER_SET_IRQS = 8,
  IXY_USER_REGION_READ = 9,
  IXY_USER_REGION_WRITE = 10,
  IXY_USER_RESET = 13,
};

// --- device.c: the devices

#define IXY_MAX_DEVICES 64
#define IXY_REGIONS 9
#define IXY_BARS 6
#define IXY_CONFIG_REGION 7
#define IXY_REGION_SHIFT 40 // region i starts at file offset i << 40, as in the kernel
#define IXY_OFFSET_MASK ((1ULL << IXY_REGION_SHIFT) - 1)
#define IXY_MAX_AREAS 16

typedef struct {
  uint32_t flags;
  uint64_t size;
  int fd; // what its pages are mapped from, or -1
  uint64_t fd_offset;
  unsigned area_count; // parts that may be mapped
  struct {
    uint64_t offset, size;
  } areas[IXY_MAX_AREAS];
} ixy_region;

typedef struct ixy_container ixy_container;

// A device is alone in its group, so both are one record.
typedef struct {
  char address[32]; // 0000:00:05.0
  char socket[108];
  int group_refs;           // open fds of the group
  int device_refs;          // open fds of the device
  int mapped_pages;         // BAR pages mapped, which keep the device open as a file's mapping does
  ixy_container *container; // NULL while it has none
  ixy_client client;
  uint32_t flags, region_count, irq_count;
  ixy_region regions[IXY_REGIONS];
  uint64_t position; // for read, write and lseek
} ixy_device;

unsigned ixy_device_count(void); // 0: the library passes everything through
ixy_device *ixy_device_at(unsigned index);
bool ixy_device_is_open(const ixy_device *device);
// Connects to its server and asks what it consists of. Also after a failure it is to be settled.
int ixy_device_connect(ixy_device *device);
bool ixy_device_can_map(const ixy_device *device, unsigned region);
int64_t ixy_device_ioctl(ixy_device *device, unsigned long request, void *arg);
int64_t ixy_device_access(ixy_device *device, void *data, size_t bytes, uint64_t position,
                          bool write);

// --- bar-pages.c: the BAR pages that the program has mapped, and their faults

void *ixy_bar_map(unsigned device, void *address, size_t bytes, int protection, int flags,
                  uint64_t position); // what mmap returns
bool ixy_bar_pages_in(uint64_t vaddr, uint64_t bytes);
// Forgets the BAR pages of a range. After this and after ixy_bar_map devices are to be settled.
void ixy_bar_forget(uint64_t vaddr, uint64_t bytes);

// --- windows.c: the DMA memory that the devices of a container are told of

typedef struct {
  uint64_t iova, size; // pieces of equal size, one after the other
  uint64_t vaddr;
  uint64_t piece;
  uint32_t flags;
} ixy_extent;

typedef struct {
  uint64_t iova, size;
  uint64_t mapped; // bytes of it that the program has mapped
  int file;
  uint64_t file_offset;
  uint32_t flags;
} ixy_window;

struct ixy_container {
  int refs;   // open fds
  int groups; // attached
  int iommu;  // 0, or VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU
  // What the program mapped, sorted by IOVA, and what the devices were told instead.
  ixy_extent *extents;
  size_t extent_count, extent_capacity;
  ixy_window *windows;
  size_t window_count, window_capacity;
};

typedef struct {
  uint64_t first, last;
} ixy_aperture;

// The IOVAs that devices can be given.
#define IXY_APERTURES 2
extern const ixy_aperture ixy_apertures[IXY_APERTURES];
bool ixy_window_fits(uint64_t iova, uint64_t size);

// `from` is the shared mapping that holds [vaddr, vaddr + size); its hold on the file passes over,
// also on failure.
int ixy_window_map(ixy_container *container, const ixy_mapping *from, uint64_t vaddr,
                   uint64_t iova, uint64_t size, uint32_t flags);
void ixy_window_unmap(ixy_container *container, uint64_t iova, uint64_t size);
// Tells a device of all windows that its container has already.
int ixy_window_replay(ixy_container *container, ixy_device *device);
void ixy_window_clear(ixy_container *container);

// --- dma.c: the IOMMU as the program sees it

int64_t ixy_dma_info(void *arg);
int64_t ixy_dma_map(ixy_container *container, void *arg);
int64_t ixy_dma_unmap(ixy_container *container, void *arg);
void ixy_dma_clear(ixy_container *container);

// --- container.c: containers and groups, and who is attached to whom

int ixy_container_open(void);       // index
int ixy_group_open(unsigned group); // index of its device
// An fd more (1) or less (-1) stands for this.
void ixy_handle_count(ixy_handle handle, int change);
void ixy_device_settle(ixy_device *device); // frees what nobody holds any more
int64_t ixy_container_ioctl(unsigned index, unsigned long request, void *arg);
int64_t ixy_group_ioctl(unsigned index, unsigned long request, void *arg);

// --- vfio.c: the program's calls, one at a time

#define IXY_NOT_OURS (-(1 << 20))
int ixy_vfio_open(const char *path); // fd, -errno, or IXY_NOT_OURS
void ixy_vfio_duplicate(int fd, int copy);
void ixy_vfio_close(int fd); // forgets an fd that is about to be closed
int64_t ixy_vfio_ioctl(ixy_handle handle, unsigned long request, void *arg);
// Position -1: where the fd stands, which then moves on.
int64_t ixy_vfio_access(ixy_handle handle, void *data, size_t bytes, int64_t position, bool write);
int64_t ixy_vfio_seek(ixy_handle device, int64_t offset, int whence);
void *ixy_vfio_map(ixy_handle device, void *address, size_t bytes, int protection, int flags,
                   uint64_t position);
// What was mapped in this range is gone, or is about to go.
void ixy_vfio_unmapped(uint64_t vaddr, uint64_t bytes);

// --- interposed.c: the functions that the program calls in place of the C library's

#endif

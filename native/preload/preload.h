// Shared by the files of the preload library, which answers Linux's VFIO group and container
// calls of an unmodified program from vfio-user sockets. Numbers and structures of the calls:
// <linux/vfio.h>; of the sockets: the vfio-user specification. Functions that can fail return
// -errno. No malloc anywhere: the program's own allocator may call the mmap that is ours.
#ifndef IXY_PRELOAD_H
#define IXY_PRELOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// A name the program's calls find before the C library's.
#define IXY_EXPORT __attribute__((visibility("default")))
// The function that an interposed one hides; looked up at its first use.
#define IXY_REAL(name)                                                                             \
  ({                                                                                               \
    static __typeof__(name) *_Atomic found;                                                        \
    if (found == NULL) found = (__typeof__(&name))ixy_real(#name);                                 \
    found;                                                                                         \
  })

#define IXY_PAGE 4096ULL
#define IXY_REGIONS 9
#define IXY_BARS 6
#define IXY_CONFIG_REGION 7
#define IXY_REGION_SHIFT 40 // region i starts at file offset i << 40, as in the kernel
#define IXY_MAX_AREAS 16
#define IXY_MAX_DEVICES 64
#define IXY_MAX_CONTAINERS 16

// A lock with all signals blocked while it is held: a handler that ran in between could fault on
// a trapped page, and the answer to that fault takes the same locks.
// Order: ixy_vfio_lock, then the mapping table's, then the trap table's, then a client's.
void ixy_lock(pthread_mutex_t *lock, sigset_t *saved);
void ixy_unlock(pthread_mutex_t *lock, const sigset_t *saved);
extern pthread_mutex_t ixy_vfio_lock; // devices, groups, containers, their DMA maps

void *ixy_real(const char *name);
// Room for `need` items; the memory comes from the kernel and never moves to the program's heap.
bool ixy_reserve(void **items, size_t *capacity, size_t need, size_t item_bytes);
// The system call, which our own mmap must not see.
void *ixy_mmap(uint64_t address, size_t bytes, int protection, int flags, int fd, uint64_t offset);
void ixy_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

// --- One connection to a vfio-user server (client.c)

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
  size_t bytes; // payload bytes that came
  int fd;       // the fd that came along, or -1
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

// --- Devices, groups, containers (config.c, container.c, device.c)

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

// A device is alone in its group, so both are one record.
typedef struct {
  char address[32]; // 0000:00:05.0
  char socket[108];
  unsigned group;     // its group's number: place in IXY_PRELOAD_DEVICES, from 1
  int group_refs;     // open fds of the group
  int device_refs;    // open fds of the device
  int mapped_pages;   // BAR pages mapped, which keep the device open as a file's mapping does
  int container;      // -1 while it has none
  ixy_client client;
  uint32_t flags, region_count, irq_count;
  ixy_region regions[IXY_REGIONS];
  uint64_t position; // for read, write and lseek
} ixy_device;

typedef struct {
  uint64_t vaddr, size;
  int file; // index of a counted fd
  uint64_t file_offset;
} ixy_mapping;

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

typedef struct {
  bool used;
  int refs;   // open fds
  int groups; // attached
  int iommu;  // 0, or VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU
  // What the program mapped, sorted by IOVA, and what the devices were told instead.
  ixy_extent *extents;
  size_t extent_count, extent_capacity;
  ixy_window *windows;
  size_t window_count, window_capacity;
} ixy_container;

extern ixy_device ixy_devices[IXY_MAX_DEVICES];
extern unsigned ixy_device_count; // 0: the library passes everything through
extern ixy_container ixy_containers[IXY_MAX_CONTAINERS];
extern int ixy_owner;   // the process that was started, and whether this is a child of its fork
extern bool ixy_forked;
extern bool ixy_exact_dma; // tell devices exactly what was mapped

// Positive errno that IXY_PRELOAD_ERRNO wants `call` to fail with now, or 0.
int ixy_injected(const char *call);

int ixy_container_open(void);              // index
int ixy_group_open(unsigned group);        // index of its device
void ixy_container_release(int container); // an fd of it was closed
void ixy_group_release(int device);
void ixy_device_release(int device);
void ixy_device_settle(ixy_device *device); // frees what nobody holds any more
int64_t ixy_container_ioctl(int container, unsigned long request, void *arg);
int64_t ixy_group_ioctl(int device, unsigned long request, void *arg);
int64_t ixy_device_ioctl(ixy_device *device, unsigned long request, void *arg);
int ixy_device_connect(ixy_device *device);
int64_t ixy_device_access(ixy_device *device, void *data, size_t bytes, uint64_t position,
                          bool write);
void *ixy_bar_map(int device, void *address, size_t bytes, int protection, int flags,
                  uint64_t position);

int64_t ixy_dma_info(void *arg);
bool ixy_dma_aperture(uint64_t iova, uint64_t size); // whether devices can be given it
int64_t ixy_dma_map(ixy_container *container, void *arg);
int64_t ixy_dma_unmap(ixy_container *container, void *arg);
void ixy_dma_clear(ixy_container *container);

// What the devices of a container are told (windows.c). `from` is the shared mapping that
// holds [vaddr, vaddr + size); its hold on the file passes over, also on failure.
int ixy_window_map(ixy_container *container, const ixy_mapping *from, uint64_t vaddr,
                   uint64_t iova, uint64_t size, uint32_t flags);
void ixy_window_unmap(ixy_container *container, uint64_t iova, uint64_t size);
int ixy_window_replay(ixy_container *container, ixy_device *device);
void ixy_window_clear(ixy_container *container);

// --- Fds (shim/files.c)

typedef enum { IXY_OTHER, IXY_CONTAINER, IXY_GROUP, IXY_DEVICE } ixy_kind;

typedef struct {
  ixy_kind kind;
  int index;
} ixy_handle;

ixy_handle ixy_handle_of(int fd);
int ixy_handle_create(ixy_kind kind, int index); // fd, O_CLOEXEC

// --- The program's shared memory (shim/memory.c)

// The shared mapping that holds `vaddr`, its file's count raised; false where there is none. `next`
// gets the start of the next mapping above.
bool ixy_mapping_at(uint64_t vaddr, ixy_mapping *mapping, uint64_t *next);
// anonymous.c: memory that is shared from the start; private memory turned into shared
// memory with the same content.
void *ixy_map_anonymous(void *address, size_t bytes, int protection, int flags);
int ixy_mapping_share(uint64_t vaddr, uint64_t bytes);
void ixy_mapping_forget(uint64_t vaddr, uint64_t bytes);
void ixy_mapping_record(uint64_t vaddr, uint64_t bytes, int fd, uint64_t offset);
void ixy_memory_after_fork(void);
int ixy_file_fd(int file);
void ixy_file_hold(int file);
void ixy_file_release(int file);

// --- Trapped pages and the instructions that touch them (fault.c, decode.c)

bool ixy_trap_install(void);
void ixy_trap_after_fork(void);
bool ixy_trap_add(uint64_t vaddr, int device, unsigned region, uint64_t offset, bool trapped);
// Forgets the BAR pages of a range; what they kept open is given back.
void ixy_trap_forget(uint64_t vaddr, uint64_t bytes);

typedef enum {
  IXY_LOAD,
  IXY_LOAD_SIGNED,
  IXY_STORE,
  IXY_EXCHANGE,
  IXY_ADD,
  IXY_OR,
  IXY_AND,
  IXY_SUB,
  IXY_XOR,
  IXY_COMPARE,
  IXY_TEST,
} ixy_operation;

typedef struct {
  ixy_operation operation;
  uint8_t length;    // bytes of code
  uint8_t width;     // bytes of memory: 1, 2, 4, 8
  uint8_t reg_width; // bytes of the register: more than width in movzx and movsx
  uint8_t reg;       // 0..15 in the order of the encoding
  bool high;         // ah, ch, dh, bh
  bool to_register;  // register = register op memory; else memory = memory op source
  bool immediate;
  int64_t value;
} ixy_instruction;

typedef struct {
  uint64_t (*load)(void *context, unsigned width);
  void (*store)(void *context, unsigned width, uint64_t value);
  void *context;
} ixy_memory;

// Reads no byte behind the instruction. False for one that is not understood.
bool ixy_decode(const uint8_t *code, ixy_instruction *instruction);
// Does what the instruction does, rip apart; `registers` are a ucontext's.
void ixy_execute(const ixy_instruction *instruction, long long *registers,
                 const ixy_memory *memory);

#endif

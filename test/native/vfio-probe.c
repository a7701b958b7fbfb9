// A small VFIO program, for tests of the preload library: it knows the kernel's group and
// container calls and nothing else. Each scenario prints "name value" lines; a call that fails
// prints the errno, negated.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define IOVA 0x100000000ULL
#define CONFIG (7ULL << 40)
#define PAGE 4096ULL
#define HUGE (2ULL << 20)

static int container, group, device;
static volatile uint8_t *bar;

static long long result(long long value) { return value < 0 ? -errno : value; }
#define SAY(name, value) printf("%s %lld\n", name, (long long)(value))
#define TRY(name, call) SAY(name, result(call))

static volatile uint32_t *reg(unsigned offset) { return (volatile uint32_t *)(bar + offset); }

static void attach(int number, const char *name) {
  container = container > 0 ? container : open("/dev/vfio/vfio", O_RDWR);
  char path[32];
  snprintf(path, sizeof path, "/dev/vfio/%d", number);
  group = open(path, O_RDWR);
  ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
  ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
  device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name);
}

static void map_bar(void) {
  bar = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
  if (bar == MAP_FAILED) exit(3);
}

static int map_dma(void *memory, uint64_t iova, uint64_t size) {
  struct vfio_iommu_type1_dma_map map = {sizeof map, 3, (uintptr_t)memory, iova, size};
  return ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
}

static long long unmap_dma(uint64_t iova, uint64_t size) {
  struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = iova, .size = size};
  int bad = ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap);
  return bad < 0 ? bad : (long long)unmap.size;
}

static void order_of_calls(void) {
  struct vfio_group_status status = {.argsz = sizeof status};
  struct vfio_iommu_type1_dma_map map = {sizeof map, 3, 0, 0, PAGE};
  container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
  TRY("version", ioctl(container, VFIO_GET_API_VERSION));
  TRY("type1v2", ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU));
  TRY("noiommu", ioctl(container, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU));
  TRY("iommu-without-group", ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
  TRY("map-without-iommu", ioctl(container, VFIO_IOMMU_MAP_DMA, &map));
  TRY("other-group", open("/dev/vfio/77", O_RDWR));
  group = open("/dev/vfio/1", O_RDWR);
  TRY("group-again", open("/dev/vfio/1", O_RDWR));
  ioctl(group, VFIO_GROUP_GET_STATUS, &status);
  SAY("status", status.flags);
  TRY("device-without-container", ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:05.0"));
  TRY("not-a-container", ioctl(group, VFIO_GROUP_SET_CONTAINER, &group));
  TRY("set-container", ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
  ioctl(group, VFIO_GROUP_GET_STATUS, &status);
  SAY("status-with-container", status.flags);
  TRY("device-without-iommu", ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:05.0"));
  TRY("unknown-iommu", ioctl(container, VFIO_SET_IOMMU, 8));
  TRY("set-iommu", ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
  TRY("other-device", ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:06.0"));
  SAY("device", ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:05.0") >= 0);
  TRY("unset-while-open", ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
  TRY("unknown-call", ioctl(container, _IO(';', 190)));
}

static void describe(void) {
  struct vfio_device_info info = {.argsz = sizeof info};
  struct vfio_region_info region = {.argsz = sizeof region};
  struct vfio_irq_info irq = {.argsz = sizeof irq, .index = 2};
  uint16_t ids[2], command = 0;
  attach(1, "0000:00:05.0");
  TRY("info", ioctl(device, VFIO_DEVICE_GET_INFO, &info));
  SAY("flags", info.flags);
  SAY("regions", info.num_regions);
  SAY("irqs", info.num_irqs);
  TRY("bar0", ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region));
  SAY("bar0-flags", region.flags);
  SAY("bar0-argsz", region.argsz);
  SAY("bar0-size", region.size);
  region.index = 7;
  ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region);
  SAY("config-flags", region.flags);
  SAY("config-is-at-7<<40", region.offset == CONFIG);
  region.index = 9;
  TRY("region-9", ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region));
  ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &irq);
  SAY("vectors", irq.count);
  TRY("read-ids", pread(device, ids, 4, CONFIG));
  SAY("ids", ids[0] == 0x8086 && ids[1] == 0x10ED);
  TRY("read-behind", pread(device, ids, 4, CONFIG + 256));
  TRY("read-across-end", pread(device, ids, 4, CONFIG + 254));
  command = 4;
  TRY("bus-master", pwrite(device, &command, 2, CONFIG + 4));
  TRY("reset", ioctl(device, VFIO_DEVICE_RESET));
  command = 0;
  pread(device, &command, 2, CONFIG + 4);
  SAY("command-after-reset", command);
  lseek(device, CONFIG, SEEK_SET);
  TRY("read-at-position", read(device, ids, 2));
  SAY("position-moved", lseek(device, 0, SEEK_CUR) == (off_t)(CONFIG + 2));
  int copy = dup(device);
  close(device);
  TRY("read-by-copy", pread(copy, ids, 4, CONFIG));
}

static sigjmp_buf jump;
static void jump_out(int number) { siglongjmp(jump, number); }

static void *blocked_reader(void *unused) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  SAY("read-with-signals-blocked", *reg(8));
  return unused;
}

static void registers(void) {
  pthread_t thread;
  attach(1, "0000:00:05.0");
  // Installed before and after the library's own.
  signal(SIGSEGV, jump_out);
  map_bar();
  signal(SIGSEGV, jump_out);
  SAY("read", *reg(8));
  SAY("read-byte", bar[9]);
  *reg(0x3010) = 0xCAFE;
  SAY("read-back", *reg(0x3010));
  *reg(0x10) |= 0x80;
  SAY("or", *reg(0x10));
  *reg(0x1018) = 511;
  *reg(0x28) = 0;
  mprotect((void *)bar, 0x4000, PROT_READ | PROT_WRITE);
  SAY("read-after-mprotect", *reg(8));
  pthread_create(&thread, NULL, blocked_reader, NULL);
  pthread_join(thread, NULL);
  if (sigsetjmp(jump, 1) == 0) {
    *(volatile int *)16 = 1;
    SAY("own-fault", 0);
  } else SAY("own-fault", 1);
  close(device);
  SAY("read-after-close", *reg(8));
  munmap((void *)bar, 0x4000);
  SAY("read-after-unmap", sigsetjmp(jump, 1) == 0 ? (long long)*reg(8) : -1);
}

static uint32_t poke(uint64_t iova, volatile uint32_t *word) {
  *(volatile uint64_t *)(bar + 0x30) = iova;
  return *word;
}

static void dma(void) {
  attach(1, "0000:00:05.0");
  map_bar();
  int fd = memfd_create("pieces", 0);
  ftruncate(fd, 64 * PAGE);
  char *pieces = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  int good = 0;
  for (unsigned i = 0; i < 64; i++) good += map_dma(pieces + i * PAGE, IOVA + i * PAGE, PAGE) == 0;
  SAY("pieces", good);
  SAY("piece-9", poke(IOVA + 9 * PAGE, (uint32_t *)(pieces + 9 * PAGE)));
  TRY("overlap", map_dma(pieces, IOVA + PAGE, PAGE));
  TRY("cut", unmap_dma(IOVA, PAGE / 2));
  TRY("unmap-nothing", unmap_dma(IOVA + (1 << 30), PAGE));
  TRY("unmap-10", unmap_dma(IOVA + 10 * PAGE, 10 * PAGE));
  TRY("unmap-rest", unmap_dma(IOVA, 64 * PAGE));
  // Heap, page-aligned; its content stays.
  uint32_t *heap = aligned_alloc(PAGE, 4 * PAGE);
  heap[0] = 41;
  TRY("heap", map_dma(heap, IOVA, 4 * PAGE));
  SAY("heap-word", poke(IOVA, heap));
  TRY("cut-heap", unmap_dma(IOVA, PAGE));
  // Huge pages that the system need not have.
  uint32_t *huge = mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  SAY("huge-aligned", huge != MAP_FAILED && (uintptr_t)huge % HUGE == 0);
  TRY("huge", map_dma(huge, IOVA + HUGE, HUGE));
  SAY("huge-word", poke(IOVA + HUGE + PAGE, huge + 1024));
  TRY("msi-window", map_dma(huge, 0xFEE00000, PAGE));
  TRY("misaligned", map_dma(huge, IOVA + (1 << 30) + 1, PAGE));
  TRY("no-memory", map_dma((void *)PAGE, IOVA + (1 << 30), PAGE));
  int stack;
  TRY("stack", map_dma((void *)((uintptr_t)&stack & ~(PAGE - 1)), IOVA + (1 << 30), PAGE));
}

// Version 1, which DPDK takes: unmapping takes whole mappings that start in the range.
static void iommu(void) {
  union {
    struct vfio_iommu_type1_info info;
    char bytes[256];
  } room = {.info.argsz = 24};
  container = open("/dev/vfio/vfio", O_RDWR);
  group = open("/dev/vfio/1", O_RDWR);
  ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
  ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU);
  TRY("info", ioctl(container, VFIO_IOMMU_GET_INFO, &room));
  SAY("needs-more", room.info.argsz > 24 && room.info.cap_offset == 0);
  TRY("info-whole", ioctl(container, VFIO_IOMMU_GET_INFO, &room));
  SAY("flags", room.info.flags);
  SAY("pages-of-4096", room.info.iova_pgsizes & 4096);
  struct vfio_iommu_type1_info_cap_iova_range *ranges = (void *)(room.bytes + room.info.cap_offset);
  SAY("capability", ranges->header.id);
  SAY("ranges", ranges->nr_iovas);
  SAY("before-msi", ranges->iova_ranges[0].end);
  SAY("after-msi", ranges->iova_ranges[1].start);
  room.info.argsz = 8;
  TRY("info-short", ioctl(container, VFIO_IOMMU_GET_INFO, &room));
  char *memory = aligned_alloc(PAGE, 8 * PAGE);
  TRY("four", map_dma(memory, IOVA, 4 * PAGE));
  TRY("four-more", map_dma(memory + 4 * PAGE, IOVA + 4 * PAGE, 4 * PAGE));
  TRY("unmap-inside", unmap_dma(IOVA + PAGE, PAGE));
  TRY("unmap-start", unmap_dma(IOVA, PAGE));
  TRY("unmap-again", unmap_dma(IOVA, 4 * PAGE));
  TRY("map-again", map_dma(memory, IOVA, PAGE));
  struct vfio_iommu_type1_dma_unmap all = {.argsz = sizeof all, .flags = 2};
  TRY("unmap-all", ioctl(container, VFIO_IOMMU_UNMAP_DMA, &all));
  SAY("unmapped", all.size);
}

static void two_devices(void) {
  attach(1, "0000:00:05.0");
  void *memory = aligned_alloc(PAGE, PAGE);
  TRY("map", map_dma(memory, IOVA, PAGE));
  attach(2, "0000:00:06.0");
  SAY("second", device >= 0);
  TRY("map-both", map_dma(aligned_alloc(PAGE, PAGE), IOVA + PAGE, PAGE));
}

static void interrupts(void) {
  struct {
    struct vfio_irq_set set;
    int fds[3];
  } irq = {{sizeof irq, 0x24, 2, 0, 3}, {eventfd(0, 0), -1, eventfd(0, 0)}};
  struct vfio_irq_set off = {sizeof off, 0x21, 2, 0, 0};
  attach(1, "0000:00:05.0");
  map_bar();
  TRY("two-of-three", ioctl(device, VFIO_DEVICE_SET_IRQS, &irq));
  *reg(0x20) = 2;
  SAY("signalled", poll(&(struct pollfd){irq.fds[2], POLLIN, 0}, 1, 5000));
  SAY("other", poll(&(struct pollfd){irq.fds[0], POLLIN, 0}, 1, 0));
  irq.fds[1] = eventfd(0, 0);
  TRY("all", ioctl(device, VFIO_DEVICE_SET_IRQS, &irq));
  TRY("off", ioctl(device, VFIO_DEVICE_SET_IRQS, &off));
  irq.set.index = 4;
  irq.set.count = 1;
  TRY("request", ioctl(device, VFIO_DEVICE_SET_IRQS, &irq));
}

static void children(void) {
  attach(1, "0000:00:05.0");
  map_bar();
  pid_t child = fork();
  if (child == 0) {
    close(device);
    close(group);
    close(container);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  SAY("read", *reg(8));
  SAY("map", map_dma(aligned_alloc(PAGE, PAGE), IOVA, PAGE));
}

static void lost(void) {
  uint32_t ids = 0;
  attach(1, "0000:00:05.0");
  map_bar();
  TRY("reset", ioctl(device, VFIO_DEVICE_RESET));
  SAY("read", *reg(8));
  *reg(8) = 1;
  TRY("config", pread(device, &ids, 4, CONFIG));
}

static void device_fd(void) {
  attach(1, "0000:00:05.0");
  TRY("device", device);
  device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:05.0");
  SAY("again", device < 0 ? -errno : 1);
}

static void first_map(void) {
  attach(1, "0000:00:05.0");
  TRY("first", map_dma(aligned_alloc(PAGE, PAGE), IOVA, PAGE));
  TRY("second", map_dma(aligned_alloc(PAGE, PAGE), IOVA + PAGE, PAGE));
  TRY("third", map_dma(aligned_alloc(PAGE, PAGE), IOVA + PAGE, PAGE));
}

int main(int count, char **words) {
  static const struct {
    const char *name;
    void (*run)(void);
  } scenarios[] = {{"order", order_of_calls}, {"describe", describe},     {"registers", registers},
                   {"dma", dma},              {"two", two_devices},       {"interrupts", interrupts},
                   {"children", children},    {"lost", lost},             {"device", device_fd},
                   {"map", first_map},        {"iommu", iommu}};
  for (size_t i = 0; count == 2 && i < sizeof scenarios / sizeof scenarios[0]; i++) {
    if (strcmp(words[1], scenarios[i].name) != 0) continue;
    scenarios[i].run();
    return 0;
  }
  return 2;
}

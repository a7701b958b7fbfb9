// The devices, and what their fds answer: what a device consists of, its interrupts, reads and
// writes of its regions. A BAR is shown as wholly mappable, without the sparse-mmap capability that
// some programs ignore and others take as a reason to leave pages out: pages that the server shares
// are mapped straight through, the others trap.
//   IXY_PRELOAD_DEVICES  0000:00:05.0=/run/p0v0.sock,0000:00:06.0=/run/p1v0.sock
#include "preload.h"

#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_COMMAND 4
#define RESET_MS 1000 // a device that is silent for longer is broken

static ixy_device devices[IXY_MAX_DEVICES];
static unsigned device_count;

unsigned ixy_device_count(void) { return device_count; }

ixy_device *ixy_device_at(unsigned index) { return &devices[index]; }

bool ixy_device_is_open(const ixy_device *device) {
  return device->device_refs + device->mapped_pages > 0;
}

static void add_device(const char *text) {
  const char *equals = strchr(text, '=');
  unsigned domain, bus, slot, function;
  if (equals == NULL || equals[1] == '\0' || equals - text >= 32 ||
      sscanf(text, "%4x:%2x:%2x.%1u=", &domain, &bus, &slot, &function) != 4)
    ixy_refuse("IXY_PRELOAD_DEVICES", "0000:00:05.0=SOCKET", text);
  if (strlen(equals + 1) > 107)
    ixy_refuse("IXY_PRELOAD_DEVICES", "a path of up to 107 bytes", text);
  if (device_count == IXY_MAX_DEVICES) ixy_refuse("IXY_PRELOAD_DEVICES", "at most 64", text);
  ixy_device *device = &devices[device_count++];
  memcpy(device->address, text, equals - text);
  strcpy(device->socket, equals + 1);
  device->client.fd = -1;
  pthread_mutex_init(&device->client.lock, NULL);
  for (unsigned i = 0; i < IXY_REGIONS; i++) device->regions[i].fd = -1;
}

static void after_fork(void) {
  for (unsigned i = 0; i < device_count; i++) pthread_mutex_init(&devices[i].client.lock, NULL);
}

__attribute__((constructor)) static void start(void) {
  ixy_for_each_item("IXY_PRELOAD_DEVICES", add_device);
  pthread_atfork(NULL, NULL, after_fork);
}

// --- What a device consists of

typedef struct {
  uint32_t argsz, flags, regions, irqs;
} info_message;

// Reads which areas of a region may be mapped. A server whose chain of capabilities is malformed
// cannot be used.
static int read_areas(ixy_region *region, const char *reply, size_t bytes) {
  struct vfio_region_info info;
  struct vfio_region_info_cap_sparse_mmap head;
  memcpy(&info, reply, sizeof info);
  uint32_t at = info.flags & VFIO_REGION_INFO_FLAG_CAPS ? info.cap_offset : 0;
  for (unsigned hops = 0; at != 0; at = head.header.next) {
    if (++hops > 64 || at < sizeof info || at + sizeof head.header > bytes) return -EPROTO;
    memcpy(&head.header, reply + at, sizeof head.header);
    if (head.header.id != VFIO_REGION_INFO_CAP_SPARSE_MMAP) continue;
    if (at + sizeof head > bytes) return -EPROTO;
    memcpy(&head, reply + at, sizeof head);
    if (head.nr_areas > IXY_MAX_AREAS || at + sizeof head + head.nr_areas * 16 > bytes)
      return -EPROTO;
    memcpy(region->areas, reply + at + sizeof head, head.nr_areas * 16);
    region->area_count = head.nr_areas;
    return 0;
  }
  region->area_count = 1;
  region->areas[0].offset = 0;
  region->areas[0].size = region->size;
  return 0;
}

static int ask_region(ixy_device *device, unsigned index) {
  ixy_region *region = &device->regions[index];
  struct vfio_region_info info = {.argsz = 1024, .index = index};
  char bytes[1024];
  ixy_message message = {.payload = &info, .bytes = sizeof info};
  ixy_reply reply = {.payload = bytes, .capacity = sizeof bytes, .takes_fd = true};
  if (region->fd >= 0) ixy_close(region->fd);
  memset(region, 0, sizeof *region);
  region->fd = -1;
  int bad = ixy_client_ask(&device->client, IXY_USER_GET_REGION_INFO, &message, &reply);
  if (bad == -EINVAL) return 0; // a region that the device does not have
  if (bad != 0) return bad;
  region->fd = reply.fd;
  if (reply.bytes < sizeof info) return -EPROTO;
  memcpy(&info, bytes, sizeof info);
  region->flags = info.flags & 7;
  region->size = info.size;
  region->fd_offset = info.offset;
  if (region->fd < 0) return 0; // nothing of it can be mapped
  return read_areas(region, bytes, reply.bytes);
}

int ixy_device_connect(ixy_device *device) {
  info_message info = {sizeof info, 0, 0, 0};
  ixy_message message = {.payload = &info, .bytes = sizeof info};
  ixy_reply reply = {.payload = &info, .capacity = sizeof info};
  int bad = ixy_client_connect(&device->client, device->socket);
  if (bad != 0) return bad;
  bad = ixy_client_ask(&device->client, IXY_USER_GET_INFO, &message, &reply);
  if (bad == 0 && reply.bytes < sizeof info) bad = -EPROTO;
  device->flags = info.flags & (VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI);
  device->region_count = info.regions < IXY_REGIONS ? info.regions : IXY_REGIONS;
  device->irq_count = info.irqs;
  device->position = 0;
  for (unsigned i = 0; i < device->region_count && bad == 0; i++) bad = ask_region(device, i);
  return bad;
}

static int64_t device_info(const ixy_device *device, struct vfio_device_info *info) {
  if (info->argsz < 16) return -EINVAL;
  info->flags = device->flags;
  info->num_regions = device->region_count;
  info->num_irqs = device->irq_count;
  if (info->argsz >= 20) info->cap_offset = 0;
  return 0;
}

bool ixy_device_can_map(const ixy_device *device, unsigned index) {
  const ixy_region *region = &device->regions[index];
  // BAR0 can be mapped even where the server shares nothing of it, since programs refuse a device
  // without; its pages then all trap.
  return index < IXY_BARS && region->size > 0 && (index == 0 || region->fd >= 0);
}

static int64_t region_info(const ixy_device *device, struct vfio_region_info *info) {
  if (info->argsz < sizeof *info || info->index >= device->region_count) return -EINVAL;
  const ixy_region *region = &device->regions[info->index];
  info->argsz = sizeof *info;
  info->flags = region->flags & (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE);
  if (ixy_device_can_map(device, info->index)) info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
  info->cap_offset = 0;
  info->size = region->size;
  info->offset = (uint64_t)info->index << IXY_REGION_SHIFT;
  return 0;
}

// --- Interrupts

static int64_t irq_info(ixy_device *device, struct vfio_irq_info *info) {
  if (info->argsz < sizeof *info || info->index >= device->irq_count) return -EINVAL;
  if (info->index >= VFIO_PCI_ERR_IRQ_INDEX) {
    info->flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
    info->count = 1;
    return 0;
  }
  struct vfio_irq_info ask = {.argsz = sizeof ask, .index = info->index};
  ixy_message message = {.payload = &ask, .bytes = sizeof ask};
  ixy_reply reply = {.payload = &ask, .capacity = sizeof ask};
  int bad = ixy_client_ask(&device->client, IXY_USER_GET_IRQ_INFO, &message, &reply);
  if (bad != 0) return bad;
  if (reply.bytes != sizeof ask) return -EPROTO;
  info->flags = ask.flags;
  info->count = ask.count;
  return 0;
}

static int send_irqs(ixy_device *device, const struct vfio_irq_set *set, unsigned start,
                     unsigned count, const void *bools, const int *fds, unsigned fd_count) {
  struct {
    struct vfio_irq_set set;
    uint8_t bools[64];
  } out;
  out.set = *set;
  out.set.start = start;
  out.set.count = count;
  out.set.argsz = sizeof out.set;
  if (bools != NULL) {
    memcpy(out.bools, bools, count);
    out.set.argsz += count;
  }
  ixy_message message = {&out, out.set.argsz, fds, fd_count};
  return ixy_client_ask(&device->client, IXY_USER_SET_IRQS, &message, NULL);
}

static int64_t set_irqs(ixy_device *device, const struct vfio_irq_set *set) {
  if (set->argsz < sizeof *set || set->index >= device->irq_count) return -EINVAL;
  // The error and request interrupts ("give the device back") never come from a model.
  if (set->index >= VFIO_PCI_ERR_IRQ_INDEX) return 0;
  uint32_t data = set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
  size_t item = data == VFIO_IRQ_SET_DATA_EVENTFD ? 4 : data == VFIO_IRQ_SET_DATA_BOOL ? 1 : 0;
  if (set->count > 64 || set->argsz < sizeof *set + set->count * item) return -EINVAL;
  if (data != VFIO_IRQ_SET_DATA_EVENTFD)
    return send_irqs(device, set, set->start, set->count, item == 1 ? set->data : NULL, NULL, 0);
  // Fds travel beside a message and do not say which vector they are for, so one message connects
  // vectors or disconnects them, not both; and it holds no more fds than the server takes.
  int fds[64];
  memcpy(fds, set->data, set->count * sizeof fds[0]);
  for (unsigned i = 0; i < set->count;) {
    unsigned n = 1;
    bool connect = fds[i] >= 0;
    while (i + n < set->count && (fds[i + n] >= 0) == connect &&
           (!connect || n < device->client.max_fds))
      n++;
    int bad = send_irqs(device, set, set->start + i, n, NULL, &fds[i], connect ? n : 0);
    if (bad != 0) return bad;
    i += n;
  }
  return 0;
}

// --- Calls

// The kernel waits until a device that was reset answers again (pci_dev_wait), and restores config space
// then, so that bus mastering survives it. A server resets like the device itself, so both is done here.
static int reset(ixy_device *device) {
  uint64_t command = 0, now = 0;
  int unknown = ixy_client_read(&device->client, IXY_CONFIG_REGION, CONFIG_COMMAND, 2, &command);
  int bad = ixy_client_ask(&device->client, IXY_USER_RESET, &(ixy_message){.bytes = 0}, NULL);
  for (int ms = 0; ms < RESET_MS && bad == 0; ms++) {
    bad = ixy_client_read(&device->client, IXY_CONFIG_REGION, CONFIG_COMMAND, 2, &now);
    if (bad != 0 || now != 0xffff) break;
    usleep(1000);
  }
  if (bad == 0 && unknown == 0)
    bad = ixy_client_write(&device->client, IXY_CONFIG_REGION, CONFIG_COMMAND, 2, command);
  return bad;
}

int64_t ixy_device_ioctl(ixy_device *device, unsigned long request, void *arg) {
  switch (request) {
  case VFIO_DEVICE_GET_INFO:
    return device_info(device, arg);
  case VFIO_DEVICE_GET_REGION_INFO:
    return region_info(device, arg);
  case VFIO_DEVICE_GET_IRQ_INFO:
    return irq_info(device, arg);
  case VFIO_DEVICE_SET_IRQS:
    return set_irqs(device, arg);
  case VFIO_DEVICE_RESET:
    return reset(device);
  default:
    return -ENOTTY;
  }
}

// Reads or writes in aligned pieces of 4, 2 and 1 bytes, as the kernel does it.
int64_t ixy_device_access(ixy_device *device, void *data, size_t bytes, uint64_t position,
                          bool write) {
  unsigned index = position >> IXY_REGION_SHIFT;
  uint64_t offset = position & IXY_OFFSET_MASK;
  if (index >= device->region_count || offset >= device->regions[index].size) return -EINVAL;
  if (bytes > device->regions[index].size - offset) bytes = device->regions[index].size - offset;
  for (size_t done = 0; done < bytes;) {
    unsigned width = 4;
    uint64_t value = 0, at = offset + done;
    while (width > bytes - done || at % width != 0) width /= 2;
    int bad;
    if (write) {
      memcpy(&value, (char *)data + done, width);
      bad = ixy_client_write(&device->client, index, at, width, value);
    } else {
      bad = ixy_client_read(&device->client, index, at, width, &value);
      if (bad == 0) memcpy((char *)data + done, &value, width);
    }
    if (bad != 0) return done > 0 ? (int64_t)done : bad;
    done += width;
  }
  return (int64_t)bytes;
}

// /dev/vfio/vfio and /dev/vfio/<group>: who is attached to whom, in the order and with the errno
// values of the kernel. Every device is alone in its group, whose number is the device's place in
// IXY_PRELOAD_DEVICES, from 1. Source: <linux/vfio.h>, Documentation/driver-api/vfio.rst.
#include "preload.h"

#include <linux/vfio.h>
#include <string.h>

#define MAX_CONTAINERS 16

static ixy_container containers[MAX_CONTAINERS];

int ixy_container_open(void) {
  for (int i = 0; i < MAX_CONTAINERS; i++) {
    ixy_container *c = &containers[i];
    if (c->refs > 0 || c->groups > 0) continue;
    c->refs = 1;
    return i;
  }
  return -EMFILE;
}

int ixy_group_open(unsigned group) {
  if (group < 1 || group > ixy_device_count()) return -ENOENT;
  ixy_device *device = ixy_device_at(group - 1);
  if (device->group_refs > 0) return -EBUSY;
  device->group_refs = 1;
  return (int)group - 1;
}

// With the last group the IOMMU goes, and every mapping with it.
static void settle_container(ixy_container *c) {
  if (c->groups > 0) return;
  ixy_dma_clear(c);
  c->iommu = 0;
}

static void detach(ixy_device *device) {
  ixy_container *c = device->container;
  if (c == NULL) return;
  device->container = NULL;
  c->groups--;
  settle_container(c);
}

void ixy_device_settle(ixy_device *device) {
  if (ixy_device_is_open(device)) return;
  ixy_client_close(&device->client);
  // As long as a device is open, its group stays attached, also with no open fd of its own.
  if (device->group_refs == 0) detach(device);
}

void ixy_handle_count(ixy_handle handle, int change) {
  ixy_device *device = ixy_device_at(handle.index);
  if (handle.kind == IXY_CONTAINER) containers[handle.index].refs += change;
  else if (handle.kind == IXY_GROUP) device->group_refs += change;
  else device->device_refs += change;
  if (handle.kind == IXY_CONTAINER) settle_container(&containers[handle.index]);
  else ixy_device_settle(device);
}

static bool extension(uintptr_t number) {
  return number == VFIO_TYPE1_IOMMU || number == VFIO_TYPE1v2_IOMMU ||
         number == VFIO_DMA_CC_IOMMU || number == VFIO_UNMAP_ALL;
}

int64_t ixy_container_ioctl(unsigned index, unsigned long request, void *arg) {
  ixy_container *c = &containers[index];
  switch (request) {
  case VFIO_GET_API_VERSION:
    return VFIO_API_VERSION;
  case VFIO_CHECK_EXTENSION:
    return extension((uintptr_t)arg);
  case VFIO_SET_IOMMU:
    if (c->groups == 0 || c->iommu != 0) return -EINVAL;
    if ((uintptr_t)arg != VFIO_TYPE1_IOMMU && (uintptr_t)arg != VFIO_TYPE1v2_IOMMU) return -ENODEV;
    c->iommu = (int)(uintptr_t)arg;
    return 0;
  case VFIO_IOMMU_GET_INFO:
    return c->iommu == 0 ? -EINVAL : ixy_dma_info(arg);
  case VFIO_IOMMU_MAP_DMA:
    return ixy_dma_map(c, arg);
  case VFIO_IOMMU_UNMAP_DMA:
    return ixy_dma_unmap(c, arg);
  default:
    return c->iommu == 0 ? -EINVAL : -ENOTTY;
  }
}

static int64_t group_status(const ixy_device *device, struct vfio_group_status *status) {
  if (status->argsz < sizeof *status) return -EINVAL;
  status->flags = VFIO_GROUP_FLAGS_VIABLE;
  if (device->container != NULL) status->flags |= VFIO_GROUP_FLAGS_CONTAINER_SET;
  return 0;
}

static int64_t set_container(ixy_device *device, const int *fd) {
  ixy_handle handle = ixy_handle_of(*fd);
  if (device->container != NULL) return -EINVAL;
  if (handle.kind == IXY_OTHER) return -EBADF;
  if (handle.kind != IXY_CONTAINER) return -EINVAL;
  device->container = &containers[handle.index];
  device->container->groups++;
  return 0;
}

static int64_t unset_container(ixy_device *device) {
  if (device->container == NULL) return -EINVAL;
  if (ixy_device_is_open(device)) return -EBUSY;
  detach(device);
  return 0;
}

static int64_t device_fd(unsigned index, const char *name) {
  ixy_device *device = ixy_device_at(index);
  if (strcmp(name, device->address) != 0) return -ENODEV;
  if (device->container == NULL || device->container->iommu == 0) return -EINVAL;
  int bad = 0;
  if (!ixy_device_is_open(device)) {
    bad = ixy_device_connect(device);
    // All devices of a container see the same memory, so a later one is told of what is there.
    if (bad == 0) bad = ixy_window_replay(device->container, device);
    if (bad != 0) ixy_log("%s: %s: %s", device->address, device->socket, strerror(-bad));
  }
  int fd = bad != 0 ? bad : ixy_handle_create(IXY_DEVICE, index);
  if (fd >= 0) device->device_refs++;
  else ixy_device_settle(device);
  return fd;
}

int64_t ixy_group_ioctl(unsigned index, unsigned long request, void *arg) {
  ixy_device *device = ixy_device_at(index);
  switch (request) {
  case VFIO_GROUP_GET_STATUS:
    return group_status(device, arg);
  case VFIO_GROUP_SET_CONTAINER:
    return set_container(device, arg);
  case VFIO_GROUP_UNSET_CONTAINER:
    return unset_container(device);
  case VFIO_GROUP_GET_DEVICE_FD:
    return device_fd(index, arg);
  default:
    return -ENOTTY;
  }
}

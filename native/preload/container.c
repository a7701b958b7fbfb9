// /dev/vfio/vfio and /dev/vfio/<group>: who is attached to whom, in the order and with the errno
// values of the kernel. Every device is alone in its group. Source: <linux/vfio.h>,
// Documentation/driver-api/vfio.rst. Called with ixy_vfio_lock held.
#include "preload.h"

#include <linux/vfio.h>
#include <string.h>

int ixy_container_open(void) {
  for (int i = 0; i < IXY_MAX_CONTAINERS; i++) {
    ixy_container *c = &ixy_containers[i];
    if (c->used) continue;
    c->used = true;
    c->refs = 1;
    c->groups = 0;
    c->iommu = 0;
    return i;
  }
  return -EMFILE;
}

static void settle_container(ixy_container *c) {
  if (c->groups == 0) {
    // With the last group the IOMMU goes, and every mapping with it.
    ixy_dma_clear(c);
    c->iommu = 0;
    if (c->refs == 0) c->used = false;
  }
}

void ixy_container_release(int container) {
  ixy_containers[container].refs--;
  settle_container(&ixy_containers[container]);
}

int ixy_group_open(unsigned group) {
  if (group < 1 || group > ixy_device_count) return -ENOENT;
  ixy_device *device = &ixy_devices[group - 1];
  if (device->group_refs > 0) return -EBUSY;
  device->group_refs = 1;
  return (int)group - 1;
}

static void detach(ixy_device *device) {
  if (device->container < 0) return;
  ixy_container *c = &ixy_containers[device->container];
  device->container = -1;
  c->groups--;
  settle_container(c);
}

void ixy_device_settle(ixy_device *device) {
  bool open = device->device_refs + device->mapped_pages > 0;
  if (!open) ixy_client_close(&device->client);
  // An open device holds its group's attachment.
  if (!open && device->group_refs == 0) detach(device);
}

void ixy_group_release(int device) {
  ixy_devices[device].group_refs--;
  ixy_device_settle(&ixy_devices[device]);
}

void ixy_device_release(int device) {
  ixy_devices[device].device_refs--;
  ixy_device_settle(&ixy_devices[device]);
}

static bool extension(uintptr_t number) {
  return number == VFIO_TYPE1_IOMMU || number == VFIO_TYPE1v2_IOMMU ||
         number == VFIO_DMA_CC_IOMMU || number == VFIO_UNMAP_ALL;
}

static const char *container_call(unsigned long request) {
  switch (request) {
  case VFIO_GET_API_VERSION:
    return "GET_API_VERSION";
  case VFIO_CHECK_EXTENSION:
    return "CHECK_EXTENSION";
  case VFIO_SET_IOMMU:
    return "SET_IOMMU";
  case VFIO_IOMMU_GET_INFO:
    return "IOMMU_GET_INFO";
  case VFIO_IOMMU_MAP_DMA:
    return "MAP_DMA";
  case VFIO_IOMMU_UNMAP_DMA:
    return "UNMAP_DMA";
  default:
    return "";
  }
}

int64_t ixy_container_ioctl(int container, unsigned long request, void *arg) {
  ixy_container *c = &ixy_containers[container];
  int injected = ixy_injected(container_call(request));
  if (injected != 0) return -injected;
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
  if (device->container >= 0) status->flags |= VFIO_GROUP_FLAGS_CONTAINER_SET;
  return 0;
}

static int64_t set_container(ixy_device *device, const int *fd) {
  ixy_handle handle = ixy_handle_of(*fd);
  if (device->container >= 0) return -EINVAL;
  if (handle.kind == IXY_OTHER) return -EBADF;
  if (handle.kind != IXY_CONTAINER) return -EINVAL;
  device->container = handle.index;
  ixy_containers[handle.index].groups++;
  return 0;
}

static int64_t unset_container(ixy_device *device) {
  if (device->container < 0) return -EINVAL;
  if (device->device_refs + device->mapped_pages > 0) return -EBUSY;
  detach(device);
  return 0;
}

static int64_t device_fd(ixy_device *device, const char *name) {
  if (strcmp(name, device->address) != 0) return -ENODEV;
  if (device->container < 0 || ixy_containers[device->container].iommu == 0) return -EINVAL;
  bool first = device->device_refs + device->mapped_pages == 0;
  if (first) {
    int bad = ixy_device_connect(device);
    if (bad != 0) {
      ixy_log("%s: %s: %s", device->address, device->socket, strerror(-bad));
      return bad;
    }
  }
  int fd = ixy_handle_create(IXY_DEVICE, (int)(device - ixy_devices));
  if (fd >= 0) device->device_refs++;
  else if (first) ixy_client_close(&device->client);
  return fd;
}

static const char *group_call(unsigned long request) {
  switch (request) {
  case VFIO_GROUP_GET_STATUS:
    return "GROUP_GET_STATUS";
  case VFIO_GROUP_SET_CONTAINER:
    return "GROUP_SET_CONTAINER";
  case VFIO_GROUP_UNSET_CONTAINER:
    return "GROUP_UNSET_CONTAINER";
  case VFIO_GROUP_GET_DEVICE_FD:
    return "GROUP_GET_DEVICE_FD";
  default:
    return "";
  }
}

int64_t ixy_group_ioctl(int index, unsigned long request, void *arg) {
  ixy_device *device = &ixy_devices[index];
  int injected = ixy_injected(group_call(request));
  if (injected != 0) return -injected;
  switch (request) {
  case VFIO_GROUP_GET_STATUS:
    return group_status(device, arg);
  case VFIO_GROUP_SET_CONTAINER:
    return set_container(device, arg);
  case VFIO_GROUP_UNSET_CONTAINER:
    return unset_container(device);
  case VFIO_GROUP_GET_DEVICE_FD:
    return device_fd(device, arg);
  default:
    return -ENOTTY;
  }
}

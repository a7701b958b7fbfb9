// Calls that are made to fail, for tests of what a program does then:
//   IXY_PRELOAD_ERRNO  MAP_DMA=ENOMEM,DEVICE_RESET=EINVAL@2 (the second call only)
#include "preload.h"

#include <linux/vfio.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

typedef struct {
  char call[32];
  int error;
  unsigned only; // the call it hits, from 1; 0: every one
  atomic_uint calls;
} injection;

static injection injections[32];
static unsigned injection_count;

#define ERROR(name) {#name, name}
static const struct {
  const char *name;
  int number;
} errors[] = {
    ERROR(EPERM),  ERROR(ENOENT), ERROR(EINTR),  ERROR(EIO),    ERROR(ENXIO),
    ERROR(EBADF),  ERROR(EAGAIN), ERROR(ENOMEM), ERROR(EACCES), ERROR(EFAULT),
    ERROR(EBUSY),  ERROR(EEXIST), ERROR(ENODEV), ERROR(EINVAL), ERROR(EMFILE),
    ERROR(ENOTTY), ERROR(ENOSPC), ERROR(ERANGE), ERROR(ENOSYS), ERROR(EOPNOTSUPP),
};

// The kind is needed too: some requests of a container and of a device have the same number.
static const struct {
  ixy_kind kind;
  unsigned long request;
  const char *call;
} requests[] = {
    {IXY_CONTAINER, VFIO_GET_API_VERSION, "GET_API_VERSION"},
    {IXY_CONTAINER, VFIO_CHECK_EXTENSION, "CHECK_EXTENSION"},
    {IXY_CONTAINER, VFIO_SET_IOMMU, "SET_IOMMU"},
    {IXY_CONTAINER, VFIO_IOMMU_GET_INFO, "IOMMU_GET_INFO"},
    {IXY_CONTAINER, VFIO_IOMMU_MAP_DMA, "MAP_DMA"},
    {IXY_CONTAINER, VFIO_IOMMU_UNMAP_DMA, "UNMAP_DMA"},
    {IXY_GROUP, VFIO_GROUP_GET_STATUS, "GROUP_GET_STATUS"},
    {IXY_GROUP, VFIO_GROUP_SET_CONTAINER, "GROUP_SET_CONTAINER"},
    {IXY_GROUP, VFIO_GROUP_UNSET_CONTAINER, "GROUP_UNSET_CONTAINER"},
    {IXY_GROUP, VFIO_GROUP_GET_DEVICE_FD, "GROUP_GET_DEVICE_FD"},
    {IXY_DEVICE, VFIO_DEVICE_GET_INFO, "DEVICE_GET_INFO"},
    {IXY_DEVICE, VFIO_DEVICE_GET_REGION_INFO, "DEVICE_GET_REGION_INFO"},
    {IXY_DEVICE, VFIO_DEVICE_GET_IRQ_INFO, "DEVICE_GET_IRQ_INFO"},
    {IXY_DEVICE, VFIO_DEVICE_SET_IRQS, "DEVICE_SET_IRQS"},
    {IXY_DEVICE, VFIO_DEVICE_RESET, "DEVICE_RESET"},
};

static void add_injection(const char *text) {
  injection *entry = &injections[injection_count];
  char name[16] = "";
  unsigned only = 0;
  if (injection_count == IXY_COUNT(injections) ||
      sscanf(text, "%31[A-Z_]=%15[A-Z]@%u", entry->call, name, &only) < 2)
    ixy_refuse("IXY_PRELOAD_ERRNO", "CALL=ENAME or CALL=ENAME@N, at most 32 of them", text);
  for (size_t i = 0; i < IXY_COUNT(errors); i++)
    if (strcmp(errors[i].name, name) == 0) entry->error = errors[i].number;
  if (entry->error == 0) ixy_refuse("IXY_PRELOAD_ERRNO", "the name of an errno of VFIO", text);
  entry->only = only;
  injection_count++;
}

__attribute__((constructor)) static void start(void) {
  ixy_for_each_item("IXY_PRELOAD_ERRNO", add_injection);
}

int ixy_injected(const char *call) {
  for (unsigned i = 0; i < injection_count; i++) {
    injection *entry = &injections[i];
    if (strcmp(entry->call, call) != 0) continue;
    unsigned nth = atomic_fetch_add(&entry->calls, 1) + 1;
    if (entry->only == 0 || entry->only == nth) return entry->error;
  }
  return 0;
}

int ixy_injected_ioctl(ixy_kind kind, unsigned long request) {
  for (size_t i = 0; i < IXY_COUNT(requests); i++)
    if (requests[i].kind == kind && requests[i].request == request)
      return ixy_injected(requests[i].call);
  return 0;
}

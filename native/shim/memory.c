// Addresses and mappings: what the arena and the mapping of BAR pages need.
// Nothing here checks that an address is free: MAP_FIXED replaces what is there,
// and the caller owns the reservation.
#include "shim.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

IXY_EXPORT int64_t ixy_mmap_fixed(uint64_t address, uint64_t size, int prot, int flags, int fd,
                                  uint64_t offset) {
  void *mapped =
      mmap((void *)(uintptr_t)address, size, prot, flags | MAP_FIXED, fd, (off_t)offset);
  return mapped == MAP_FAILED ? -(int64_t)errno : 0;
}

// Same kind of pages as V8 gave the reservation: private, zero, not reserved in swap.
IXY_EXPORT int64_t ixy_remap_plain(uint64_t address, uint64_t size) {
  return ixy_mmap_fixed(address, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

IXY_EXPORT int64_t ixy_mbind(uint64_t address, uint64_t size, int node) {
  // linux/mempolicy.h: MPOL_PREFERRED = 1. Preferred, not bound: a node that is full must not
  // turn a later first touch into SIGBUS.
  uint64_t mask[16] = {0};
  if (node < 0 || node >= 1024) return -EINVAL;
  mask[node / 64] = 1ULL << (node % 64);
  return ixy_errno(syscall(SYS_mbind, address, size, 1, mask, 1025UL, 0UL));
}

static napi_value js_addressOf(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "addressOf");
  ixy_view view = ixy_arg_view(&args, 0);
  return args.failed ? NULL : ixy_number(env, (int64_t)(uintptr_t)view.data);
}

static napi_value js_mmapFixed(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "mmapFixed");
  int64_t address = ixy_arg_int(&args, 0, 1, IXY_MAX_SAFE);
  int64_t size = ixy_arg_int(&args, 1, 1, IXY_MAX_SAFE);
  int64_t prot = ixy_arg_int(&args, 2, 0, INT_MAX);
  int64_t flags = ixy_arg_int(&args, 3, 0, INT_MAX);
  int fd = ixy_arg_fd(&args, 4);
  int64_t offset = ixy_arg_int(&args, 5, 0, IXY_MAX_SAFE);
  if (args.failed) return NULL;
  return ixy_number(env, ixy_mmap_fixed((uint64_t)address, (uint64_t)size, (int)prot, (int)flags,
                                        fd, (uint64_t)offset));
}

static napi_value js_remapPlain(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "remapPlain");
  int64_t address = ixy_arg_int(&args, 0, 1, IXY_MAX_SAFE);
  int64_t size = ixy_arg_int(&args, 1, 1, IXY_MAX_SAFE);
  if (args.failed) return NULL;
  return ixy_number(env, ixy_remap_plain((uint64_t)address, (uint64_t)size));
}

static napi_value js_madvise(napi_env env, napi_callback_info info) {
  ixy_args args;
  int result;
  ixy_args_read(&args, env, info, "madvise");
  int64_t address = ixy_arg_int(&args, 0, 1, IXY_MAX_SAFE);
  int64_t size = ixy_arg_int(&args, 1, 1, IXY_MAX_SAFE);
  int64_t advice = ixy_arg_int(&args, 2, 0, INT_MAX);
  if (args.failed) return NULL;
  IXY_RETRY(result, madvise((void *)(uintptr_t)address, (size_t)size, (int)advice));
  return ixy_number(env, ixy_errno(result));
}

static napi_value js_mbind(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "mbind");
  int64_t address = ixy_arg_int(&args, 0, 1, IXY_MAX_SAFE);
  int64_t size = ixy_arg_int(&args, 1, 1, IXY_MAX_SAFE);
  int64_t node = ixy_arg_int(&args, 2, 0, 1023);
  if (args.failed) return NULL;
  return ixy_number(env, ixy_mbind((uint64_t)address, (uint64_t)size, (int)node));
}

static napi_value js_memfdCreate(napi_env env, napi_callback_info info) {
  ixy_args args;
  char name[250];
  ixy_args_read(&args, env, info, "memfdCreate");
  ixy_arg_string(&args, 0, name, sizeof name);
  int64_t flags = ixy_arg_int(&args, 1, 0, UINT_MAX);
  if (args.failed) return NULL;
  return ixy_number(env, ixy_errno(memfd_create(name, (unsigned)flags | MFD_CLOEXEC)));
}

static napi_value js_ftruncate(napi_env env, napi_callback_info info) {
  ixy_args args;
  int result;
  ixy_args_read(&args, env, info, "ftruncate");
  int fd = ixy_arg_fd(&args, 0);
  int64_t size = ixy_arg_int(&args, 1, 0, IXY_MAX_SAFE);
  if (args.failed) return NULL;
  IXY_RETRY(result, ftruncate(fd, size));
  return ixy_number(env, ixy_errno(result));
}

static napi_value js_fallocate(napi_env env, napi_callback_info info) {
  ixy_args args;
  int result;
  ixy_args_read(&args, env, info, "fallocate");
  int fd = ixy_arg_fd(&args, 0);
  int64_t mode = ixy_arg_int(&args, 1, 0, INT_MAX);
  int64_t offset = ixy_arg_int(&args, 2, 0, IXY_MAX_SAFE);
  int64_t size = ixy_arg_int(&args, 3, 0, IXY_MAX_SAFE);
  if (args.failed) return NULL;
  IXY_RETRY(result, fallocate(fd, (int)mode, offset, size));
  return ixy_number(env, ixy_errno(result));
}

static napi_value js_addSeals(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "addSeals");
  int fd = ixy_arg_fd(&args, 0);
  int64_t seals = ixy_arg_int(&args, 1, 0, INT_MAX);
  if (args.failed) return NULL;
  return ixy_number(env, ixy_errno(fcntl(fd, F_ADD_SEALS, (int)seals)));
}

static napi_value js_seals(napi_env env, napi_callback_info info) {
  ixy_args args;
  ixy_args_read(&args, env, info, "seals");
  int fd = ixy_arg_fd(&args, 0);
  if (args.failed) return NULL;
  return ixy_number(env, ixy_errno(fcntl(fd, F_GET_SEALS)));
}

static const napi_property_descriptor functions[] = {
    IXY_METHOD(addressOf), IXY_METHOD(mmapFixed),   IXY_METHOD(remapPlain), IXY_METHOD(madvise),
    IXY_METHOD(mbind),     IXY_METHOD(memfdCreate), IXY_METHOD(ftruncate),  IXY_METHOD(fallocate),
    IXY_METHOD(addSeals),  IXY_METHOD(seals),
};
const ixy_table ixy_memory_table = IXY_TABLE(functions);

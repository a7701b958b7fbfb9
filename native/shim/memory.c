// Addresses and mappings: what the arena and the mapping of BAR pages need. Nothing here checks
// that an address is free: MAP_FIXED replaces what is there, and the caller owns the reservation.
#include "shim.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static int64_t map_fixed(int64_t address, int64_t size, int prot, int flags, int fd,
                         int64_t offset) {
  void *mapped =
      mmap((void *)(uintptr_t)address, (size_t)size, prot, flags | MAP_FIXED, fd, offset);
  return mapped == MAP_FAILED ? -(int64_t)errno : 0;
}

static int64_t js_addressOf(ixy_args *args) {
  return (int64_t)(uintptr_t)ixy_arg_view(args, 0).data;
}

static int64_t js_mmapFixed(ixy_args *args) {
  int64_t address = ixy_arg_int(args, 0, 1, IXY_MAX_SAFE);
  int64_t size = ixy_arg_int(args, 1, 1, IXY_MAX_SAFE);
  int prot = (int)ixy_arg_int(args, 2, 0, INT_MAX);
  int flags = (int)ixy_arg_int(args, 3, 0, INT_MAX);
  int fd = ixy_arg_fd(args, 4);
  int64_t offset = ixy_arg_int(args, 5, 0, IXY_MAX_SAFE);
  return args->failed ? 0 : map_fixed(address, size, prot, flags, fd, offset);
}

// Maps the kind of pages that V8 made the reservation of: private, zero, not reserved in swap.
static int64_t js_remapPlain(ixy_args *args) {
  int64_t address = ixy_arg_int(args, 0, 1, IXY_MAX_SAFE);
  int64_t size = ixy_arg_int(args, 1, 1, IXY_MAX_SAFE);
  if (args->failed) return 0;
  return map_fixed(address, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static int64_t js_madvise(ixy_args *args) {
  int64_t address = ixy_arg_int(args, 0, 1, IXY_MAX_SAFE);
  int64_t size = ixy_arg_int(args, 1, 1, IXY_MAX_SAFE);
  int advice = (int)ixy_arg_int(args, 2, 0, INT_MAX);
  if (args->failed) return 0;
  return IXY_CALL(madvise((void *)(uintptr_t)address, (size_t)size, advice));
}

static int64_t js_memfdCreate(ixy_args *args) {
  char name[250];
  ixy_arg_string(args, 0, name, sizeof name);
  unsigned flags = (unsigned)ixy_arg_int(args, 1, 0, UINT_MAX);
  return args->failed ? 0 : IXY_CALL(memfd_create(name, flags | MFD_CLOEXEC));
}

static int64_t js_ftruncate(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  int64_t size = ixy_arg_int(args, 1, 0, IXY_MAX_SAFE);
  return args->failed ? 0 : IXY_CALL(ftruncate(fd, size));
}

static int64_t js_addSeals(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  int seals = (int)ixy_arg_int(args, 1, 0, INT_MAX);
  return args->failed ? 0 : IXY_CALL(fcntl(fd, F_ADD_SEALS, seals));
}

static int64_t js_seals(ixy_args *args) {
  int fd = ixy_arg_fd(args, 0);
  return args->failed ? 0 : IXY_CALL(fcntl(fd, F_GET_SEALS));
}

static const ixy_function functions[] = {
    IXY_FUNCTION(addressOf), IXY_FUNCTION(mmapFixed),   IXY_FUNCTION(remapPlain),
    IXY_FUNCTION(madvise),   IXY_FUNCTION(memfdCreate), IXY_FUNCTION(ftruncate),
    IXY_FUNCTION(addSeals),  IXY_FUNCTION(seals),
};
const ixy_table ixy_memory_table = IXY_TABLE(functions);

// What the other files of the library stand on: the C library's own functions, locks, arrays, the
// log, and what the environment asks for. With IXY_PRELOAD_VERBOSE=1 the log goes to stderr.
#include "preload.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *ixy_real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) {
    dprintf(2, "ixy preload: no %s in the C library\n", name);
    abort();
  }
  return found;
}

ixy_guard ixy_lock(pthread_mutex_t *lock) {
  ixy_guard guard = {.lock = lock};
  sigset_t all;
  sigfillset(&all);
  IXY_REAL(pthread_sigmask)(SIG_SETMASK, &all, &guard.signals);
  pthread_mutex_lock(lock);
  return guard;
}

void ixy_unlock(const ixy_guard *guard) {
  pthread_mutex_unlock(guard->lock);
  IXY_REAL(pthread_sigmask)(SIG_SETMASK, &guard->signals, NULL);
}

void *ixy_mmap(uint64_t address, size_t bytes, int protection, int flags, int fd,
               uint64_t offset) {
  return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}

void ixy_munmap(uint64_t address, size_t bytes) { syscall(SYS_munmap, address, bytes); }

void ixy_close(int fd) { syscall(SYS_close, fd); }

bool ixy_reserve(void **items, size_t *capacity, size_t need, size_t item_bytes) {
  if (need <= *capacity) return true;
  size_t old = *capacity * item_bytes;
  size_t bytes = old == 0 ? 65536 : old * 2;
  while (bytes < need * item_bytes) bytes *= 2;
  void *grown =
      old == 0 ? ixy_mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
               : (void *)syscall(SYS_mremap, *items, old, bytes, MREMAP_MAYMOVE);
  if (grown == MAP_FAILED) return false;
  *items = grown;
  *capacity = bytes / item_bytes;
  return true;
}

bool ixy_is_set(const char *variable) {
  const char *value = getenv(variable);
  return value != NULL && strcmp(value, "1") == 0;
}

void ixy_refuse(const char *variable, const char *expected, const char *got) {
  dprintf(2, "ixy preload: %s: expected %s, got '%s'\n", variable, expected, got);
  _exit(2);
}

void ixy_for_each_item(const char *variable, void (*add)(const char *item)) {
  const char *list = getenv(variable);
  char item[256];
  while (list != NULL && *list != '\0') {
    size_t length = strcspn(list, ",");
    if (length >= sizeof item) ixy_refuse(variable, "items below 256 bytes", list);
    memcpy(item, list, length);
    item[length] = '\0';
    if (length > 0) add(item);
    list += length;
    if (*list == ',') list++;
  }
}

static bool verbose;

__attribute__((constructor)) static void start(void) {
  verbose = ixy_is_set("IXY_PRELOAD_VERBOSE");
}

void ixy_log(const char *format, ...) {
  if (!verbose) return;
  char line[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  dprintf(2, "ixy preload: %s\n", line);
}

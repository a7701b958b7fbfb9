// What the environment says: which devices there are, which calls are to fail.
//   IXY_PRELOAD_DEVICES  0000:00:05.0=/run/p0v0.sock,0000:00:06.0=/run/p1v0.sock
//   IXY_PRELOAD_ERRNO    MAP_DMA=ENOMEM,DEVICE_RESET=EINVAL@2 (the second call only)
//   IXY_PRELOAD_EXACT    1: devices may reach exactly what was mapped, see dma.c
//   IXY_PRELOAD_VERBOSE  1: say on stderr what happens
#include "preload.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ixy_device ixy_devices[IXY_MAX_DEVICES];
unsigned ixy_device_count;
ixy_container ixy_containers[IXY_MAX_CONTAINERS];
bool ixy_exact_dma;
int ixy_owner;
bool ixy_forked;
pthread_mutex_t ixy_vfio_lock = PTHREAD_MUTEX_INITIALIZER;

static bool verbose;

typedef struct {
  char call[32];
  int error;
  unsigned only; // the call it hits, from 1; 0: every one
  atomic_uint calls;
} injection;

static injection injections[32];
static unsigned injection_count;

static const struct {
  const char *name;
  int number;
} errors[] = {
    {"EPERM", EPERM},   {"ENOENT", ENOENT}, {"EINTR", EINTR},   {"EIO", EIO},
    {"ENXIO", ENXIO},   {"EBADF", EBADF},   {"EAGAIN", EAGAIN}, {"ENOMEM", ENOMEM},
    {"EACCES", EACCES}, {"EFAULT", EFAULT}, {"EBUSY", EBUSY},   {"EEXIST", EEXIST},
    {"ENODEV", ENODEV}, {"EINVAL", EINVAL}, {"EMFILE", EMFILE}, {"ENOTTY", ENOTTY},
    {"ENOSPC", ENOSPC}, {"ERANGE", ERANGE}, {"ENOSYS", ENOSYS}, {"EOPNOTSUPP", EOPNOTSUPP},
};

void ixy_log(const char *format, ...) {
  if (!verbose) return;
  char line[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  dprintf(2, "ixy preload: %s\n", line);
}

static _Noreturn void refuse(const char *variable, const char *expected, const char *got) {
  dprintf(2, "ixy preload: %s: expected %s, got '%s'\n", variable, expected, got);
  _exit(2);
}

void ixy_lock(pthread_mutex_t *lock, sigset_t *saved) {
  sigset_t all;
  sigfillset(&all);
  IXY_REAL(pthread_sigmask)(SIG_SETMASK, &all, saved);
  pthread_mutex_lock(lock);
}

void ixy_unlock(pthread_mutex_t *lock, const sigset_t *saved) {
  pthread_mutex_unlock(lock);
  IXY_REAL(pthread_sigmask)(SIG_SETMASK, saved, NULL);
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

static void add_device(const char *text) {
  const char *equals = strchr(text, '=');
  unsigned domain, bus, slot, function;
  if (equals == NULL || equals[1] == '\0' || equals - text >= 32 ||
      sscanf(text, "%4x:%2x:%2x.%1u=", &domain, &bus, &slot, &function) != 4)
    refuse("IXY_PRELOAD_DEVICES", "0000:00:05.0=SOCKET", text);
  if (strlen(equals + 1) > 107) refuse("IXY_PRELOAD_DEVICES", "a path of up to 107 bytes", text);
  if (ixy_device_count == IXY_MAX_DEVICES) refuse("IXY_PRELOAD_DEVICES", "at most 64", text);
  ixy_device *device = &ixy_devices[ixy_device_count++];
  memcpy(device->address, text, equals - text);
  strcpy(device->socket, equals + 1);
  device->group = ixy_device_count;
  device->container = -1;
  device->client.fd = -1;
  pthread_mutex_init(&device->client.lock, NULL);
  for (unsigned i = 0; i < IXY_REGIONS; i++) device->regions[i].fd = -1;
}

static void add_injection(const char *text) {
  injection *entry = &injections[injection_count];
  char name[16] = "";
  unsigned only = 0;
  if (injection_count == sizeof injections / sizeof injections[0] ||
      sscanf(text, "%31[A-Z_]=%15[A-Z]@%u", entry->call, name, &only) < 2)
    refuse("IXY_PRELOAD_ERRNO", "CALL=ENAME or CALL=ENAME@N, at most 32 of them", text);
  for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
    if (strcmp(errors[i].name, name) == 0) entry->error = errors[i].number;
  if (entry->error == 0) refuse("IXY_PRELOAD_ERRNO", "the name of an errno of VFIO", text);
  entry->only = only;
  injection_count++;
}

static void for_each_item(const char *list, void (*add)(const char *)) {
  char item[256];
  while (list != NULL && *list != '\0') {
    size_t length = strcspn(list, ",");
    if (length >= sizeof item) refuse("IXY_PRELOAD_*", "items below 256 bytes", list);
    memcpy(item, list, length);
    item[length] = '\0';
    if (length > 0) add(item);
    list += length;
    if (*list == ',') list++;
  }
}

static bool is_set(const char *variable) {
  const char *value = getenv(variable);
  return value != NULL && strcmp(value, "1") == 0;
}

// A child of fork has one thread, and the locks of all: it starts with free ones.
static void after_fork(void) {
  ixy_forked = true;
  ixy_memory_after_fork();
  ixy_trap_after_fork();
  pthread_mutex_init(&ixy_vfio_lock, NULL);
  for (unsigned i = 0; i < ixy_device_count; i++)
    pthread_mutex_init(&ixy_devices[i].client.lock, NULL);
}

__attribute__((constructor)) static void start(void) {
  verbose = is_set("IXY_PRELOAD_VERBOSE");
  ixy_exact_dma = is_set("IXY_PRELOAD_EXACT");
  for_each_item(getenv("IXY_PRELOAD_ERRNO"), add_injection);
  for_each_item(getenv("IXY_PRELOAD_DEVICES"), add_device);
  ixy_owner = getpid();
  pthread_atfork(NULL, NULL, after_fork);
}

// A SIGBUS inside a guarded range (the peer truncated the file behind a mapping, no huge page was
// left, the device behind a BAR is gone) becomes a plain page, filled with one byte, and a counted
// fault, so that the process can report it.
// Everywhere else the signal goes where it went before. Follows sigaction(2), signal-safety(7).
#include "shim.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GUARDS 64
#define PAGE 4096ULL
#define HUGE_PAGE 2097152ULL

typedef struct {
  uint64_t start; // 0: free. Written last and cleared first, since the handler takes no lock
  uint64_t size;
  int fill;       // of every byte of the page
  int32_t *words; // [faults, page number of the last one]
  napi_env env;
  napi_ref words_ref; // keeps the memory of `words` alive
} guard;

static guard guards[GUARDS];
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous;
static bool installed;

static bool put_plain_page(const guard *g, uint64_t address) {
  // A huge page mapping can only be replaced by whole huge pages.
  for (uint64_t page = PAGE; page <= HUGE_PAGE; page *= HUGE_PAGE / PAGE) {
    uint64_t start = address & ~(page - 1);
    if (start < g->start || start + page > g->start + g->size) continue;
    // Filled before it is put in place: another thread sees all of it or none.
    void *filled = mmap(NULL, page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (filled == MAP_FAILED) return false;
    if (g->fill != 0) memset(filled, g->fill, page);
    if (mremap(filled, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(uintptr_t)start) !=
        MAP_FAILED)
      return true;
    munmap(filled, page);
  }
  return false;
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
  int saved = errno;
  uint64_t address = (uint64_t)(uintptr_t)info->si_addr;
  for (int i = 0; i < GUARDS; i++) {
    guard *g = &guards[i];
    uint64_t start = __atomic_load_n(&g->start, __ATOMIC_ACQUIRE);
    if (start == 0 || address < start || address - start >= g->size) continue;
    if (!put_plain_page(g, address)) break;
    __atomic_store_n(&g->words[1], (int32_t)((address - start) / PAGE), __ATOMIC_RELAXED);
    __atomic_fetch_add(&g->words[0], 1, __ATOMIC_RELEASE);
    errno = saved;
    return;
  }
  errno = saved;
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != NULL) {
    previous.sa_sigaction(number, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
  } else {
    // The faulting instruction runs again, and the default action then ends the process.
    signal(SIGBUS, SIG_DFL);
    // A signal that kill(2) sent has no instruction to run again.
    if (info->si_code <= 0) raise(SIGBUS);
  }
}

static int install(void) {
  struct sigaction action = {0};
  if (installed) return 0;
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGBUS, &action, &previous) != 0) return -errno;
  installed = true;
  return 0;
}

static void release(guard *g) {
  __atomic_store_n(&g->start, 0, __ATOMIC_RELEASE);
  napi_delete_reference(g->env, g->words_ref);
  g->words = NULL;
}

// A Worker that ends takes its fault words with it.
static void forget_env(void *data) {
  pthread_mutex_lock(&guards_lock);
  for (int i = 0; i < GUARDS; i++)
    if (guards[i].start != 0 && guards[i].env == data) release(&guards[i]);
  pthread_mutex_unlock(&guards_lock);
}

static int64_t js_guardBus(ixy_args *args) {
  int64_t result = -ENOSPC;
  bool known_env = false, overlap = false;
  guard *free_slot = NULL;
  uint64_t start = (uint64_t)ixy_arg_int(args, 0, 1, IXY_MAX_SAFE);
  uint64_t size = (uint64_t)ixy_arg_int(args, 1, 1, IXY_MAX_SAFE);
  ixy_int32s words = ixy_arg_int32s(args, 2, 2);
  int fill = ixy_arg_type(args, 3) == napi_undefined ? 0 : (int)ixy_arg_int(args, 3, 0, 255);
  if (args->failed) return 0;
  if (start % PAGE != 0 || size % PAGE != 0) return -EINVAL;
  pthread_mutex_lock(&guards_lock);
  for (int i = 0; i < GUARDS; i++) {
    guard *g = &guards[i];
    if (g->start == 0) {
      if (free_slot == NULL) free_slot = g;
    } else {
      known_env = known_env || g->env == args->env;
      overlap = overlap || (start < g->start + g->size && g->start < start + size);
    }
  }
  if (overlap) {
    result = -EEXIST;
  } else if (free_slot != NULL && (result = install()) == 0) {
    free_slot->size = size;
    free_slot->fill = fill;
    free_slot->words = words.data;
    free_slot->env = args->env;
    napi_create_reference(args->env, args->values[2], 1, &free_slot->words_ref);
    __atomic_store_n(&free_slot->start, start, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&guards_lock);
  if (result == 0 && !known_env) {
    // Removing one that is absent is no error, so this never registers the pair twice.
    napi_remove_env_cleanup_hook(args->env, forget_env, args->env);
    napi_add_env_cleanup_hook(args->env, forget_env, args->env);
  }
  return result;
}

static int64_t js_unguardBus(ixy_args *args) {
  int64_t result = -ENOENT;
  uint64_t start = (uint64_t)ixy_arg_int(args, 0, 1, IXY_MAX_SAFE);
  if (args->failed) return 0;
  pthread_mutex_lock(&guards_lock);
  for (int i = 0; i < GUARDS; i++) {
    if (guards[i].start != start) continue;
    // References belong to the thread that made them.
    result = guards[i].env == args->env ? 0 : -EPERM;
    if (result == 0) release(&guards[i]);
  }
  pthread_mutex_unlock(&guards_lock);
  return result;
}

static const ixy_function functions[] = {IXY_FUNCTION(guardBus), IXY_FUNCTION(unguardBus)};
const ixy_table ixy_guard_table = IXY_TABLE(functions);

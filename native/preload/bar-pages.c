// The BAR pages that the program has mapped. Some are the server's memory; the others trap: the
// fault is decoded, the socket asked, the register set, the instruction stepped over. Faults
// elsewhere go to the program's own handler, which is why sigaction and signal are interposed;
// SIGSEGV is kept out of every mask, since the kernel kills a thread that faults with it blocked.
#include "preload.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

typedef struct {
  uint64_t vaddr;
  uint64_t offset;
  uint16_t device;
  uint8_t region;
  bool trapped;
} bar_page;

IXY_OWN_LOCK(lock)
static bar_page *pages;
static size_t page_count, page_capacity;
static atomic_bool installed;
static struct sigaction program_action; // what the program wants done on SIGSEGV

// --- The table of pages

static bool add_page(bar_page page) {
  IXY_HOLD(&lock);
  bool good = IXY_RESERVE(pages, page_capacity, page_count + 1);
  if (good) pages[page_count++] = page;
  return good;
}

bool ixy_bar_pages_in(uint64_t vaddr, uint64_t bytes) {
  bool found = false;
  if (page_count == 0) return false;
  IXY_HOLD(&lock);
  for (size_t i = 0; i < page_count && !found; i++) found = pages[i].vaddr - vaddr < bytes;
  return found;
}

void ixy_bar_forget(uint64_t vaddr, uint64_t bytes) {
  IXY_HOLD(&lock);
  for (size_t i = page_count; i-- > 0;) {
    if (pages[i].vaddr - vaddr >= bytes) continue;
    ixy_device_at(pages[i].device)->mapped_pages--;
    pages[i] = pages[--page_count];
  }
}

static bool find_page(uint64_t vaddr, bar_page *out) {
  bool found = false;
  pthread_mutex_lock(&lock); // not ixy_lock: the handler runs with all signals blocked
  for (size_t i = 0; i < page_count && !found; i++) {
    found = pages[i].trapped && vaddr - pages[i].vaddr < IXY_PAGE;
    if (found) *out = pages[i];
  }
  pthread_mutex_unlock(&lock);
  return found;
}

// --- Answering a fault

static uint64_t load(void *context, unsigned width) {
  const bar_page *place = context;
  ixy_client *client = &ixy_device_at(place->device)->client;
  uint64_t value;
  ixy_client_read(client, place->region, place->offset, width, &value);
  return value; // all ones from a device that is gone, as on the bus
}

static void store(void *context, unsigned width, uint64_t value) {
  const bar_page *place = context;
  ixy_client *client = &ixy_device_at(place->device)->client;
  ixy_client_write(client, place->region, place->offset, width, value);
}

static void complain(const uint8_t *code, uint64_t address) {
  // The bytes up to the end of the code's page are shown: the next page may not be readable.
  unsigned length = IXY_PAGE - (uint64_t)code % IXY_PAGE;
  char text[64] = "", *end = text;
  for (unsigned i = 0; i < 15 && i < length; i++) end += sprintf(end, " %02x", code[i]);
  dprintf(2, "ixy preload: access to 0x%llx: instruction%s not understood\n", (long long)address,
          text);
}

// Does what the program asked for on SIGSEGV, for a fault that is none of ours.
static void pass_on(int number, siginfo_t *info, void *context) {
  struct sigaction action = program_action;
  if (action.sa_flags & SA_SIGINFO) action.sa_sigaction(number, info, context);
  else if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) {
    // The handler returns to the instruction, which faults again, and the kernel ends the program.
    action.sa_handler = SIG_DFL;
    IXY_REAL(sigaction)(SIGSEGV, &action, NULL);
    if (info->si_code <= 0) raise(SIGSEGV); // one sent by kill(2) has no instruction to run again
  } else action.sa_handler(number);
}

static void on_fault(int number, siginfo_t *info, void *opaque) {
  ucontext_t *context = opaque;
  long long *registers = context->uc_mcontext.gregs;
  uint64_t address = (uint64_t)info->si_addr;
  const uint8_t *code = (const uint8_t *)registers[REG_RIP];
  int error = errno;
  bar_page page;
  ixy_instruction instruction;
  // A fault at the address of the instruction itself is a fetch of code, not a load or store.
  if (info->si_code > 0 && address != (uint64_t)code && find_page(address, &page)) {
    if (ixy_decode(code, &instruction)) {
      page.offset += address - page.vaddr;
      ixy_execute(&instruction, registers, &(ixy_memory){load, store, &page});
      registers[REG_RIP] += instruction.length;
      errno = error;
      return;
    }
    complain(code, address);
  }
  pass_on(number, info, opaque);
  errno = error;
}

static bool catch_faults(void) {
  if (atomic_exchange(&installed, true)) return true;
  struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&ours.sa_mask);
  return IXY_REAL(sigaction)(SIGSEGV, &ours, &program_action) == 0;
}

// --- Mapping

static bool is_shared(const ixy_region *region, uint64_t offset) {
  if (region->fd < 0) return false;
  for (unsigned i = 0; i < region->area_count; i++)
    if (offset >= region->areas[i].offset &&
        offset + IXY_PAGE <= region->areas[i].offset + region->areas[i].size)
      return true;
  return false;
}

static void *failed(int error) {
  errno = error;
  return MAP_FAILED;
}

void *ixy_bar_map(unsigned index, void *address, size_t bytes, int protection, int flags,
                  uint64_t position) {
  ixy_device *device = ixy_device_at(index);
  unsigned bar = position >> IXY_REGION_SHIFT;
  uint64_t offset = position & IXY_OFFSET_MASK;
  bytes = ixy_whole_pages(bytes);
  if (!(flags & MAP_SHARED) || bar >= device->region_count || !ixy_device_can_map(device, bar) ||
      offset % IXY_PAGE != 0 || offset + bytes > ixy_whole_pages(device->regions[bar].size))
    return failed(EINVAL);
  if (!catch_faults()) return failed(ENOMEM);
  if (flags & MAP_FIXED) ixy_bar_forget((uint64_t)address, bytes);
  const ixy_region *region = &device->regions[bar];
  flags &= MAP_FIXED | MAP_FIXED_NOREPLACE;
  void *base = ixy_mmap((uint64_t)address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | flags,
                        -1, 0);
  if (base == MAP_FAILED) return base;
  bool good = true;
  for (uint64_t done = 0; done < bytes && good; done += IXY_PAGE) {
    bar_page page = {(uint64_t)base + done, offset + done, index, bar, true};
    page.trapped = !is_shared(region, page.offset);
    if (!page.trapped)
      good = ixy_mmap(page.vaddr, IXY_PAGE, protection, MAP_SHARED | MAP_FIXED, region->fd,
                      region->fd_offset + page.offset) != MAP_FAILED;
    if (good) good = add_page(page);
    if (good) device->mapped_pages++;
  }
  if (good) return base;
  ixy_bar_forget((uint64_t)base, bytes);
  ixy_munmap((uint64_t)base, bytes);
  return failed(ENOMEM);
}

// --- What the program calls

// Address of the first trapped page in [at, end), or end.
static uint64_t next_trapped(uint64_t at, uint64_t end) {
  IXY_HOLD(&lock);
  for (size_t i = 0; i < page_count; i++)
    if (pages[i].trapped && pages[i].vaddr >= at && pages[i].vaddr < end) end = pages[i].vaddr;
  return end;
}

// The trapped pages are left out. A JavaScript engine that grows the memory in which a BAR is
// mapped makes all of it accessible, and the pages would no longer trap.
IXY_EXPORT int mprotect(void *address, size_t bytes, int protection) {
  uint64_t at = (uint64_t)address, end = at + ixy_whole_pages(bytes);
  if (!ixy_bar_pages_in(at, bytes)) return IXY_REAL(mprotect)(address, bytes, protection);
  while (at < end) {
    uint64_t next = next_trapped(at, end);
    int bad = next > at ? IXY_REAL(mprotect)((void *)at, next - at, protection) : 0;
    if (bad != 0) return bad;
    at = next + IXY_PAGE;
  }
  return 0;
}

IXY_EXPORT int sigaction(int number, const struct sigaction *action, struct sigaction *old) {
  if (number == SIGSEGV && atomic_load(&installed)) {
    struct sigaction before = program_action;
    if (action != NULL) program_action = *action;
    if (old != NULL) *old = before;
    return 0;
  }
  if (action == NULL || ixy_device_count() == 0) return IXY_REAL(sigaction)(number, action, old);
  struct sigaction open = *action;
  sigdelset(&open.sa_mask, SIGSEGV);
  return IXY_REAL(sigaction)(number, &open, old);
}

IXY_EXPORT sighandler_t signal(int number, sighandler_t handler) {
  if (number != SIGSEGV || !atomic_load(&installed)) return IXY_REAL(signal)(number, handler);
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
  sigaction(SIGSEGV, &action, &old);
  return old.sa_handler;
}

static const sigset_t *without_fault(int how, const sigset_t *set, sigset_t *copy) {
  if (set == NULL || how == SIG_UNBLOCK || ixy_device_count() == 0) return set;
  *copy = *set;
  sigdelset(copy, SIGSEGV);
  return copy;
}

IXY_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
  sigset_t copy;
  return IXY_REAL(pthread_sigmask)(how, without_fault(how, set, &copy), old);
}

IXY_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old) {
  sigset_t copy;
  return IXY_REAL(sigprocmask)(how, without_fault(how, set, &copy), old);
}

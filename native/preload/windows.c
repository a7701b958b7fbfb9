// What the devices of a container are told about DMA memory: windows, each a piece of one file.
// Programs map one file in pieces of 4 KiB: the first piece announces the file's whole mapping as
// one window, the others are found inside it, and it goes with the last of them. With
// IXY_PRELOAD_EXACT=1 each piece is a window of its own, so that a device faults on everything
// else.
#include "preload.h"

#include <string.h>

typedef struct {
  uint32_t argsz, flags;
  uint64_t offset, iova, size;
} map_message;

typedef struct {
  uint32_t argsz, flags;
  uint64_t iova, size;
} unmap_message;

// Below and above the interrupt window of x86, as Linux reports it.
const ixy_aperture ixy_apertures[IXY_APERTURES] = {{0, 0xFEDFFFFF},
                                                   {0xFEF00000, (1ULL << 48) - 1}};

static bool exact;

__attribute__((constructor)) static void start(void) { exact = ixy_is_set("IXY_PRELOAD_EXACT"); }

bool ixy_window_fits(uint64_t iova, uint64_t size) {
  for (size_t i = 0; i < IXY_APERTURES; i++)
    if (iova >= ixy_apertures[i].first && iova + size - 1 <= ixy_apertures[i].last) return true;
  return false;
}

static int tell(ixy_device *device, const ixy_window *window) {
  map_message out = {sizeof out, window->flags, window->file_offset, window->iova, window->size};
  int fd = ixy_file_fd(window->file);
  ixy_message message = {.payload = &out, .bytes = sizeof out, .fds = &fd, .fd_count = 1};
  return ixy_client_ask(&device->client, IXY_USER_DMA_MAP, &message, NULL);
}

static void take_back(ixy_device *device, const ixy_window *window) {
  unmap_message out = {sizeof out, 0, window->iova, window->size};
  ixy_message message = {.payload = &out, .bytes = sizeof out};
  int bad = ixy_client_ask(&device->client, IXY_USER_DMA_UNMAP, &message, NULL);
  if (bad != 0) ixy_log("%s: DMA_UNMAP: %s", device->address, strerror(-bad));
}

static bool sees(const ixy_device *device, const ixy_container *container) {
  return device->container == container && ixy_device_is_open(device);
}

static void close_window(ixy_container *c, size_t i) {
  for (unsigned d = 0; d < ixy_device_count(); d++)
    if (sees(ixy_device_at(d), c)) take_back(ixy_device_at(d), &c->windows[i]);
  ixy_file_release(c->windows[i].file);
  c->windows[i] = c->windows[--c->window_count];
}

// The window's hold on its file passes to the container; where this fails, it is released.
static int open_window(ixy_container *c, const ixy_window *window) {
  int bad = IXY_RESERVE(c->windows, c->window_capacity, c->window_count + 1) ? 0 : -ENOMEM;
  unsigned d;
  for (d = 0; d < ixy_device_count() && bad == 0; d++)
    if (sees(ixy_device_at(d), c)) bad = tell(ixy_device_at(d), window);
  if (bad == 0) {
    c->windows[c->window_count++] = *window;
    return 0;
  }
  // The device asked last refused; those before it are to forget the window again.
  for (unsigned done = 0; done + 1 < d; done++)
    if (sees(ixy_device_at(done), c)) take_back(ixy_device_at(done), window);
  ixy_file_release(window->file);
  return bad;
}

int ixy_window_replay(ixy_container *c, ixy_device *device) {
  for (size_t i = 0; i < c->window_count; i++) {
    int bad = tell(device, &c->windows[i]);
    if (bad != 0) return bad;
  }
  return 0;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

// Replaces a window that covers more than was mapped by windows for what was mapped in it.
static int shrink_window(ixy_container *c, size_t i) {
  ixy_window old = c->windows[i];
  int bad = 0;
  ixy_file_hold(old.file);
  close_window(c, i);
  for (size_t e = 0; e < c->extent_count && bad == 0; e++) {
    const ixy_extent *extent = &c->extents[e];
    if (!overlap(extent->iova, extent->size, old.iova, old.size)) continue;
    uint64_t first = extent->iova > old.iova ? extent->iova : old.iova;
    uint64_t end = extent->iova + extent->size;
    if (end > old.iova + old.size) end = old.iova + old.size;
    ixy_window part = {first, end - first, end - first, old.file, 0, old.flags};
    part.file_offset = old.file_offset + (first - old.iova);
    ixy_file_hold(old.file);
    bad = open_window(c, &part);
  }
  ixy_file_release(old.file);
  return bad;
}

int ixy_window_map(ixy_container *c, const ixy_mapping *from, uint64_t vaddr, uint64_t iova,
                   uint64_t size, uint32_t flags) {
  uint64_t offset = from->file_offset + (vaddr - from->vaddr);
  for (size_t i = 0; i < c->window_count; i++) {
    ixy_window *w = &c->windows[i];
    if (!overlap(w->iova, w->size, iova, size)) continue;
    if (w->file == from->file && w->file_offset + (iova - w->iova) == offset && iova >= w->iova &&
        iova + size <= w->iova + w->size && w->flags == flags) {
      w->mapped += size;
      ixy_file_release(from->file);
      return 0;
    }
    int bad = shrink_window(c, i);
    if (bad != 0) return (ixy_file_release(from->file), bad);
    i = (size_t)-1; // shrinking reordered the windows: start again
  }
  ixy_window window = {iova, size, size, from->file, offset, flags};
  // A window over all of the mapping, where no other window is in the way.
  ixy_window whole = {iova - (vaddr - from->vaddr), from->size, size, from->file,
                      from->file_offset, flags};
  bool greedy = !exact && size < from->size && iova >= vaddr - from->vaddr &&
                ixy_window_fits(whole.iova, whole.size);
  for (size_t i = 0; i < c->window_count && greedy; i++)
    greedy = !overlap(c->windows[i].iova, c->windows[i].size, whole.iova, whole.size);
  return open_window(c, greedy ? &whole : &window);
}

void ixy_window_unmap(ixy_container *c, uint64_t iova, uint64_t size) {
  for (size_t i = c->window_count; i-- > 0;) {
    ixy_window *w = &c->windows[i];
    if (!overlap(w->iova, w->size, iova, size)) continue;
    uint64_t first = iova > w->iova ? iova : w->iova;
    uint64_t end = iova + size < w->iova + w->size ? iova + size : w->iova + w->size;
    w->mapped -= end - first;
    if (w->mapped == 0) close_window(c, i);
  }
}

void ixy_window_clear(ixy_container *c) {
  while (c->window_count > 0) close_window(c, c->window_count - 1);
}

// VFIO's type1 IOMMU as the program sees it: its mappings, kept as extents of equal pieces (a
// program may make 65,536 of them), with the checks and errno values of versions 1 and 2. What the
// devices are told is in windows.c. Source: <linux/vfio.h>, Documentation/driver-api/vfio.rst.
#include "preload.h"

#include <linux/vfio.h>
#include <string.h>

#define PAGE_SIZES 0x40201000ULL // 4 KiB, 2 MiB, 1 GiB
#define RIGHTS (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

int64_t ixy_dma_info(void *arg) {
  struct vfio_iommu_type1_info *info = arg;
  struct {
    struct vfio_iommu_type1_info info;
    struct vfio_iommu_type1_info_cap_iova_range ranges __attribute__((aligned(8)));
    struct vfio_iova_range range[IXY_APERTURES];
    struct vfio_iommu_type1_info_dma_avail avail;
  } full;
  if (info->argsz < 16) return -EINVAL;
  memset(&full, 0, sizeof full);
  full.info.argsz = sizeof full;
  full.info.flags = VFIO_IOMMU_INFO_PGSIZES;
  full.info.iova_pgsizes = PAGE_SIZES;
  if (info->argsz >= 20) full.info.flags |= VFIO_IOMMU_INFO_CAPS;
  if (info->argsz < sizeof full) {
    memcpy(info, &full.info, info->argsz < 20 ? 16 : 20);
    return 0;
  }
  full.info.cap_offset = (char *)&full.ranges - (char *)&full;
  full.ranges.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
  full.ranges.header.version = 1;
  full.ranges.header.next = (char *)&full.avail - (char *)&full;
  full.ranges.nr_iovas = IXY_APERTURES;
  for (int i = 0; i < IXY_APERTURES; i++) {
    full.range[i].start = ixy_apertures[i].first;
    full.range[i].end = ixy_apertures[i].last;
  }
  full.avail.header.id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL;
  full.avail.header.version = 1;
  full.avail.avail = 65535;
  memcpy(info, &full, sizeof full);
  return 0;
}

// Index of the first extent that ends above iova.
static size_t extent_after(const ixy_container *c, uint64_t iova) {
  size_t low = 0, high = c->extent_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (c->extents[middle].iova + c->extents[middle].size <= iova) low = middle + 1;
    else high = middle;
  }
  return low;
}

static bool insert_extent(ixy_container *c, size_t at, ixy_extent extent) {
  if (!IXY_RESERVE(c->extents, c->extent_capacity, c->extent_count + 2)) return false;
  ixy_extent *before = at > 0 ? &c->extents[at - 1] : NULL;
  if (before != NULL && before->piece == extent.size && before->flags == extent.flags &&
      before->iova + before->size == extent.iova && before->vaddr + before->size == extent.vaddr) {
    before->size += extent.size;
    return true;
  }
  memmove(&c->extents[at + 1], &c->extents[at], (c->extent_count - at) * sizeof extent);
  c->extents[at] = extent;
  c->extent_count++;
  return true;
}

int64_t ixy_dma_map(ixy_container *c, void *arg) {
  const struct vfio_iommu_type1_dma_map *map = arg;
  if (map->argsz < 32 || (map->flags & ~RIGHTS) != 0 || (map->flags & RIGHTS) == 0) return -EINVAL;
  if (c->iommu == 0) return -EINVAL;
  uint64_t vaddr = map->vaddr, iova = map->iova, size = map->size;
  if (size == 0 || (vaddr | iova | size) % IXY_PAGE != 0) return -EINVAL;
  if (iova + size - 1 < iova || vaddr + size - 1 < vaddr) return -EINVAL;
  size_t at = extent_after(c, iova);
  if (at < c->extent_count && c->extents[at].iova < iova + size) return -EEXIST;
  if (!ixy_window_fits(iova, size)) return -EINVAL;
  for (uint64_t done = 0; done < size;) {
    ixy_mapping from;
    uint64_t next = 0;
    int bad = 0;
    if (!ixy_mapping_at(vaddr + done, &from, &next)) {
      uint64_t end = next != 0 && next < vaddr + size ? next : vaddr + size;
      bad = ixy_mapping_share(vaddr + done, end - (vaddr + done));
      if (bad == 0 && !ixy_mapping_at(vaddr + done, &from, &next)) bad = -EFAULT;
    }
    uint64_t part = 0;
    if (bad == 0) {
      part = from.vaddr + from.size - (vaddr + done);
      if (part > size - done) part = size - done;
      bad = ixy_window_map(c, &from, vaddr + done, iova + done, part, map->flags);
    }
    if (bad != 0) {
      ixy_log("MAP_DMA 0x%llx at iova 0x%llx: %s", (long long)vaddr, (long long)iova,
              strerror(-bad));
      if (done > 0) ixy_window_unmap(c, iova, done);
      return bad;
    }
    done += part;
  }
  if (insert_extent(c, at, (ixy_extent){iova, size, vaddr, size, map->flags})) return 0;
  ixy_window_unmap(c, iova, size);
  return -ENOMEM;
}

// The IOVA at which the piece that holds `iova` starts.
static uint64_t piece_start(const ixy_extent *extent, uint64_t iova) {
  return iova - (iova - extent->iova) % extent->piece;
}

// Takes [first, end), which are whole pieces, out of extent i. The caller has reserved room for one
// extent more.
static void cut_extent(ixy_container *c, size_t i, uint64_t first, uint64_t end) {
  ixy_extent whole = c->extents[i], tail = whole;
  tail.iova = end;
  tail.size = whole.iova + whole.size - end;
  tail.vaddr = whole.vaddr + (end - whole.iova);
  ixy_extent parts[2];
  size_t count = 0;
  whole.size = first - whole.iova;
  if (whole.size > 0) parts[count++] = whole;
  if (tail.size > 0) parts[count++] = tail;
  memmove(&c->extents[i + count], &c->extents[i + 1],
          (c->extent_count - i - 1) * sizeof whole);
  memcpy(&c->extents[i], parts, count * sizeof whole);
  c->extent_count = c->extent_count - 1 + count;
}

int64_t ixy_dma_unmap(ixy_container *c, void *arg) {
  struct vfio_iommu_type1_dma_unmap *unmap = arg;
  if (unmap->argsz < 24 || (unmap->flags & ~VFIO_DMA_UNMAP_FLAG_ALL) != 0) return -EINVAL;
  bool all = (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL) != 0;
  uint64_t iova = unmap->iova, size = unmap->size;
  if (c->iommu == 0) return -EINVAL;
  if (all) {
    if (iova != 0 || size != 0) return -EINVAL;
    size = 1ULL << 63; // above every aperture
  }
  if (size == 0 || (iova | size) % IXY_PAGE != 0 || iova + size - 1 < iova) return -EINVAL;
  uint64_t end = iova + size, bytes = 0;
  size_t i = extent_after(c, iova);
  if (c->iommu == VFIO_TYPE1v2_IOMMU && i < c->extent_count) {
    // Version 2 refuses a range that would cut a mapping in two.
    const ixy_extent *first = &c->extents[i];
    size_t j = extent_after(c, end - 1);
    if (first->iova < iova && piece_start(first, iova) != iova) return -EINVAL;
    if (j < c->extent_count && c->extents[j].iova < end &&
        (end - c->extents[j].iova) % c->extents[j].piece != 0)
      return -EINVAL;
  }
  if (!IXY_RESERVE(c->extents, c->extent_capacity, c->extent_count + 1)) return -ENOMEM;
  while (i < c->extent_count && c->extents[i].iova < end) {
    const ixy_extent *extent = &c->extents[i];
    // Version 1 takes the whole of every mapping that starts in the range.
    uint64_t last = extent->iova + extent->size, from = extent->iova;
    if (from < iova) from = piece_start(extent, iova + extent->piece - 1);
    if (last > end) last = piece_start(extent, end + extent->piece - 1);
    if (from < last) {
      size_t before = c->extent_count;
      cut_extent(c, i, from, last);
      ixy_window_unmap(c, from, last - from);
      bytes += last - from;
      if (c->extent_count < before) continue; // the next one moved here
    }
    i++;
  }
  unmap->size = bytes;
  return 0;
}

void ixy_dma_clear(ixy_container *c) {
  ixy_window_clear(c);
  c->extent_count = 0;
}

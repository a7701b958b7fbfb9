// What a VFIO program looks up under /sys and /dev before it opens a device, for VFs that exist
// only as sockets: a tree of small files, and the shell script that mounts it in a private mount
// namespace. Layout from Linux's Documentation/ABI/testing/sysfs-bus-pci and
// sysfs-kernel-iommu_groups. Nothing outside the namespace changes.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { VENDOR_INTEL } from '../../hw/pci.ts';

/** Folders that the script covers, each by the part of the tree named beside it. */
const PLACES = {
  'pci-devices': '/sys/bus/pci/devices',
  'iommu-groups': '/sys/kernel/iommu_groups',
  module: '/sys/module',
  'dev-vfio': '/dev/vfio',
} as const;

const CONFIG_BYTES = 64;
const CLASS_ETHERNET = 0x020000;
const REVISION = 0x01;
/** IORESOURCE_MEM, IORESOURCE_PREFETCH, IORESOURCE_MEM_64. */
const RESOURCE_FLAGS = 0x102200;
const BAR_BYTES = 0x4000;

/** A device of the tree. */
export interface FakeDevice {
  /** "0000:00:05.0". */
  readonly address: string;
  /** PCI device id. */
  readonly deviceId: number;
}

const hex = (value: number, digits: number): string =>
  `0x${value.toString(16).padStart(digits, '0')}`;

/** The first 64 bytes of config space: type 0 header without BARs, as on a VF. */
function configHeader(deviceId: number): Uint8Array {
  const bytes = new Uint8Array(CONFIG_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0x00, VENDOR_INTEL, true);
  view.setUint16(0x02, deviceId, true);
  view.setUint16(0x06, 0x0010, true); // STATUS: has capabilities
  view.setUint32(0x08, CLASS_ETHERNET * 256 + REVISION, true);
  view.setUint16(0x2c, VENDOR_INTEL, true);
  view.setUint8(0x34, 0x70);
  return bytes;
}

/** BAR0 and BAR3, 16 KiB each; 13 lines as the kernel writes them. */
function resources(index: number): string {
  const lines = Array.from({ length: 13 }, (_, i) => {
    if (i !== 0 && i !== 3) return [0, 0, 0];
    const start = 0xe000_0000 + (index * 2 + (i === 0 ? 0 : 1)) * BAR_BYTES;
    return [start, start + BAR_BYTES - 1, RESOURCE_FLAGS];
  });
  return lines.map((words) => `${words.map((word) => hex(word, 16)).join(' ')}\n`).join('');
}

/** A device's files; an `@` in front of the content makes it a link's target. */
function deviceFiles(device: FakeDevice, index: number): Record<string, string | Uint8Array> {
  const { address, deviceId } = device;
  const id = `${hex(VENDOR_INTEL, 4)}:${hex(deviceId, 4)}`.replaceAll('0x', '').toUpperCase();
  return {
    vendor: `${hex(VENDOR_INTEL, 4)}\n`,
    device: `${hex(deviceId, 4)}\n`,
    subsystem_vendor: `${hex(VENDOR_INTEL, 4)}\n`,
    subsystem_device: '0x0000\n',
    class: `${hex(CLASS_ETHERNET, 6)}\n`,
    revision: `${hex(REVISION, 2)}\n`,
    numa_node: '-1\n',
    irq: '0\n',
    enable: '1\n',
    resource: resources(index),
    config: configHeader(deviceId),
    uevent: `DRIVER=vfio-pci\nPCI_CLASS=20000\nPCI_ID=${id}\nPCI_SLOT_NAME=${address}\n`,
    driver: '@../../../../bus/pci/drivers/vfio-pci',
    iommu_group: `@../../../../kernel/iommu_groups/${index + 1}`,
    subsystem: '@../../../../bus/pci',
  };
}

function write(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  if (typeof content === 'string' && content.startsWith('@')) symlinkSync(content.slice(1), path);
  else writeFileSync(path, content);
}

/**
 * Writes the tree for SHADOW_SCRIPT into a folder of the caller's.
 * @param devices the one at place i is alone in IOMMU group i + 1
 */
export function writeFakeSysfs(folder: string, devices: readonly FakeDevice[]): void {
  for (const [index, device] of devices.entries()) {
    const { address } = device;
    for (const [name, content] of Object.entries(deviceFiles(device, index))) {
      write(join(folder, 'pci-devices', address, name), content);
    }
    const group = `${index + 1}`;
    write(join(folder, 'iommu-groups', group, 'type'), 'DMA\n');
    write(
      join(folder, 'iommu-groups', group, 'reserved_regions'),
      '0x00000000fee00000 0x00000000feefffff msi\n',
    );
    write(
      join(folder, 'iommu-groups', group, 'devices', address),
      `@../../../../bus/pci/devices/${address}`,
    );
    write(join(folder, 'dev-vfio', group), '');
  }
  write(join(folder, 'dev-vfio/vfio'), '');
  write(join(folder, 'module/vfio/parameters/enable_unsafe_noiommu_mode'), 'N\n');
  write(join(folder, 'module/vfio_pci/initstate'), 'live\n');
  write(join(folder, 'module/vfio_iommu_type1/parameters/dma_entry_limit'), '65535\n');
}

/**
 * For `sh -c SCRIPT sh FOLDER PROGRAM ARGS` inside a new mount namespace: mounts the tree, removes the folder,
 * becomes the program. Folders that the kernel does not have are made in a copy of their parent, which holds
 * what the parent held by bind mounts.
 */
export const SHADOW_SCRIPT = `
set -eu
folder=$1
shift
ours=' '
provide() {
  [ ! -d "$1" ] || return 0
  parent=\${1%/*}
  provide "$parent"
  case "$ours" in *" $parent "*) ;; *)
    aside=$folder/aside
    mkdir "$aside"
    mount --rbind "$parent" "$aside"
    mount -t tmpfs -o mode=0755 ixy-preload "$parent"
    for entry in "$aside"/* "$aside"/.[!.]*; do
      name=\${entry##*/}
      if [ -L "$entry" ]; then cp -P "$entry" "$parent/$name"
      elif [ -d "$entry" ]; then mkdir "$parent/$name"; mount --rbind "$entry" "$parent/$name"
      elif [ -e "$entry" ]; then : >"$parent/$name"; mount --bind "$entry" "$parent/$name"
      fi
    done
    umount -l "$aside"
    rmdir "$aside"
    ours="$ours$parent "
  esac
  mkdir "$1"
  ours="$ours$1 "
}
cover() {
  provide "$2"
  mount -t tmpfs -o mode=0755 ixy-preload "$2"
  cp -RP "$folder/$1/." "$2"
  rm -r "$folder/$1"
}
${Object.entries(PLACES)
  .map(([part, place]) => `cover ${part} ${place}`)
  .join('\n')}
rmdir "$folder"
exec "$@"
`;

// The guest's root: busybox, ethtool with its libraries, the kernel's modules, and an init that
// mounts, loads and then obeys: each line on the second serial port is a command, its output and
// status go back there. The first serial port is the kernel's console.

import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Cpio } from './cpio.mjs';

/** What ethtool needs besides the loader. */
const ETHTOOL_LIBRARIES = ['libmnl.so.0', 'libm.so.6', 'libc.so.6'];

/** Loaded before the first command; drivers of the VF are not, scenarios load what they are about. */
const AT_BOOT = ['virtio_pci', '9p', '9pnet_virtio', '8021q'];

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /tmp /run /host
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs tmp /tmp
ip link set lo up
for module in $(cat /modules/at-boot); do insmod /modules/$module.ko; done
exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo
echo '@ready' >&3
while read -r id command <&3; do
  test -n "$command" || continue
  echo "$command" | base64 -d > /run/command
  sh /run/command > /run/output 2>&1 3>&- < /dev/null
  status=$?
  { base64 /run/output; echo "@done $id $status"; } >&3
done
`;

/** Loads a module and those it needs, first those: `load vfio-pci`. */
const LOAD = `#!/bin/sh
name=$(echo $1 | tr - _)
test -f /modules/needs/$name || exit 0 # built in
for module in $(cat /modules/needs/$name); do
  grep -q "^$module " /proc/modules || insmod /modules/$module.ko || exit 1
done
`;

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url));
/** Where the guest has checkout and node, too: an ordinary user may not get at them in root's folders. */
const PUBLIC = '/mnt';

/** A file of the checkout as `host` programs name it. */
export function guestPath(file) {
  return join(PUBLIC, 'checkout', relative(CHECKOUT, file));
}

/** The node that runs this, the same way. */
export const GUEST_NODE = join(PUBLIC, 'node', relative(nodePrefix(), process.execPath));

function nodePrefix() {
  return dirname(dirname(process.execPath));
}

/** Programs of the host in the guest: `host node ...`. The host's root is read-only there. */
const HOST = `#!/bin/sh
if ! grep -q ' /host ' /proc/mounts; then
  mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro host /host || exit 97
  for folder in dev proc sys; do mount --rbind /$folder /host/$folder || exit 98; done
  mkdir -p /run/checkout /run/node
  mount --bind /host/${CHECKOUT} /run/checkout && mount --bind /host/${nodePrefix()} /run/node || exit 99
  mount -t tmpfs public /host${PUBLIC} || exit 99
  for folder in checkout node; do
    mkdir /host${PUBLIC}/$folder && mount --bind /run/$folder /host${PUBLIC}/$folder || exit 99
  done
fi
exec chroot /host "$@"
`;

function libraryPath(tools, name) {
  for (const folder of tools.libraries) {
    try {
      return realpathSync(join(folder, name));
    } catch {}
  }
  throw new Error(`the packages hold no ${name}`);
}

/** Names of the modules in the order of loading, each with all that it needs, itself last. */
function needs(kernel) {
  const rows = readFileSync(join(kernel.folder, 'modules/needs'), 'utf8').trim().split('\n');
  return new Map(
    rows.map((row) => {
      const [name, ...others] = row.split(' ');
      return [name, [...others, name]];
    }),
  );
}

/** @returns bytes of an initramfs for a kernel of guestParts() */
export function initramfs(tools, kernel) {
  const cpio = new Cpio();
  cpio.file('bin/busybox', readFileSync(tools.busybox));
  cpio.link('bin/sh', 'busybox');
  cpio.file('init', INIT);
  cpio.file('bin/load', LOAD);
  cpio.file('bin/host', HOST);
  cpio.file('bin/ethtool', readFileSync(tools.ethtool));
  cpio.file('lib64/ld-linux-x86-64.so.2', readFileSync(tools.loader));
  for (const name of ETHTOOL_LIBRARIES)
    cpio.file(`lib/x86_64-linux-gnu/${name}`, readFileSync(libraryPath(tools, name)));
  const modules = join(kernel.folder, 'modules');
  for (const file of readdirSync(modules))
    if (file.endsWith('.ko'))
      cpio.file(`modules/${basename(file)}`, readFileSync(join(modules, file)));
  const order = needs(kernel);
  for (const [name, list] of order) cpio.file(`modules/needs/${name}`, `${list.join('\n')}\n`);
  const atBoot = new Set(AT_BOOT.flatMap((name) => order.get(name) ?? []));
  cpio.file('modules/at-boot', `${[...atBoot].join('\n')}\n`);
  return cpio.bytes();
}

// A small kernel with iommufd and VFIO's character devices, which no kernel of Debian has: built
// from Debian's linux-source with allnoconfig and the list below, everything built in. Takes
// minutes, once: the result lies in the cache like a fetched kernel. flex, bison and libelf come
// from the private apt; compiler, make, bc and perl are the host's.

import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { filesUnder, findFile, output, UnavailableError, unpack } from '../support/debian.mjs';

const SOURCE_PACKAGE = 'linux-source-6.12';
const BUILD_TOOLS = ['flex', 'bison', 'm4'];
/** For objtool; static, and the oldest there is, so that it links with any C library of the host. */
const LIBRARIES = ['libelf-dev/bookworm', 'zlib1g-dev/bookworm'];
const HOST_PROGRAMS = ['make', 'gcc', 'bc', 'perl', 'xz', 'tar'];
const BUILD_MS = 3_600_000;

/** Options of one name each; everything else is off. */
const CONFIG = `
  64BIT SMP X86_X2APIC X86_MPPARSE ACPI PCI PCI_MSI HIGH_RES_TIMERS NO_HZ_IDLE EXPERT
  PRINTK TTY SERIAL_8250 SERIAL_8250_CONSOLE SERIAL_8250_PNP UNIX98_PTYS BLK_DEV_INITRD BINFMT_ELF BINFMT_SCRIPT
  MULTIUSER PROC_FS PROC_SYSCTL SYSFS DEVTMPFS TMPFS SHMEM MEMFD_CREATE FUTEX EPOLL EVENTFD SIGNALFD TIMERFD AIO
  POSIX_TIMERS FILE_LOCKING INOTIFY_USER ADVISE_SYSCALLS MEMBARRIER RSEQ FHANDLE
  TRANSPARENT_HUGEPAGE TRANSPARENT_HUGEPAGE_ALWAYS HUGETLBFS
  NET UNIX INET NET_9P NET_9P_VIRTIO NETWORK_FILESYSTEMS 9P_FS VIRTIO_MENU VIRTIO_PCI
  IOMMU_SUPPORT INTEL_IOMMU IRQ_REMAP IOMMUFD VFIO VFIO_GROUP VFIO_DEVICE_CDEV VFIO_PCI
`;

/** What the result must have; an option whose dependencies are missing is dropped without a word. */
const REQUIRED = ['IOMMUFD', 'VFIO_DEVICE_CDEV', 'VFIO_PCI', 'INTEL_IOMMU', 'IRQ_REMAP', '9P_FS'];

function has(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
}

/** A script in `bin` that runs an unpacked program with its own loader. */
function wrap(bin, root, tools, name) {
  const start = `${tools.loader} --library-path ${tools.libraries.join(':')}`;
  const script = `#!/bin/sh\nexec ${start} ${join(root, 'usr/bin', name)} "$@"\n`;
  writeFileSync(join(bin, name), script);
  chmodSync(join(bin, name), 0o755);
}

/** Flex, bison, m4 and libelf, unpacked. @returns environment and arguments for make */
function buildTools(apt, folder, tools) {
  const root = join(folder, 'build-tools');
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const debs = [...BUILD_TOOLS.map((name) => `${name}/trixie`), ...LIBRARIES];
  unpack(apt.download(debs), root);
  for (const name of BUILD_TOOLS) wrap(bin, root, tools, name);
  const libraries = ['elf', 'z'].map((name) => `${root}/usr/lib/x86_64-linux-gnu/lib${name}.a`);
  return {
    env: {
      ...process.env,
      LC_ALL: 'C',
      PATH: `${bin}:${process.env.PATH}`,
      M4: join(bin, 'm4'),
      BISON_PKGDATADIR: join(root, 'usr/share/bison'),
    },
    args: [
      `LIBELF_FLAGS=-idirafter ${join(root, 'usr/include')}`,
      `LIBELF_LIBS=${libraries.join(' ')}`,
    ],
  };
}

/**
 * Builds the kernel into a folder like those of guestParts().
 * @param apt a PrivateApt
 * @throws UnavailableError where a program or the source is missing
 */
export function buildKernel(apt, folder, tools, say) {
  const missing = HOST_PROGRAMS.filter((program) => !has(program));
  if (missing.length > 0) throw new UnavailableError(`a kernel build needs ${missing.join(', ')}`);
  const { version } = apt.show(SOURCE_PACKAGE);
  say(`${SOURCE_PACKAGE} ${version}, and building it: takes 10 minutes and 2 GB`);
  const work = join(folder, 'work');
  mkdirSync(work);
  const { env, args: fixed } = buildTools(apt, work, tools);
  unpack(apt.download([`${SOURCE_PACKAGE}=${version}`]), work);
  const archive = findFile(filesUnder(work), /linux-source-[^/]*\.tar\.xz$/);
  output('tar', ['-xf', archive, '-C', work]);
  const tree = join(work, basename(archive, '.tar.xz'));
  writeFileSync(
    join(tree, 'guest.config'),
    CONFIG.trim()
      .split(/\s+/)
      .map((name) => `CONFIG_${name}=y\n`)
      .join(''),
  );
  const make = (...args) =>
    output('nice', ['make', '-s', '-C', tree, `-j${cpus().length}`, ...fixed, ...args], {
      env,
      timeout: BUILD_MS,
    });
  make('KCONFIG_ALLCONFIG=guest.config', 'allnoconfig');
  const config = output('cat', [join(tree, '.config')]);
  const dropped = REQUIRED.filter((name) => !config.includes(`CONFIG_${name}=y\n`));
  if (dropped.length > 0) throw new Error(`the kernel's configuration lost ${dropped.join(', ')}`);
  make('bzImage');
  copyFileSync(join(tree, 'arch/x86/boot/bzImage'), join(folder, 'vmlinuz'));
  writeFileSync(join(folder, 'config'), config);
  mkdirSync(join(folder, 'modules'));
  writeFileSync(join(folder, 'modules/needs'), '');
  const release = make('kernelrelease').trim();
  writeFileSync(join(folder, 'release'), `${release}-iommufd\n${version}\n`);
  rmSync(work, { recursive: true });
}

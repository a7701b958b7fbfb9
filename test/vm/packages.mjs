// QEMU, guest kernels, busybox and ethtool from Debian's packages, unpacked into the cache folder. Whatever cannot be
// had here (no apt, no network) is an UnavailableError, which callers count as a skip.

import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  cacheFolder,
  filesUnder,
  findFile,
  makeFolder,
  output,
  PrivateApt,
  UnavailableError,
  unpack,
} from '../support/debian.mjs';
import { moduleDependencies } from './modules.mjs';

/** Debian's releases that packages are taken from. vfio-user-pci came with QEMU 10.1; trixie has 10.0. */
const QEMU_SUITE = 'trixie-backports';
const SUITES = ['bookworm', 'trixie', QEMU_SUITE];
const METAPACKAGE = 'linux-image-amd64';
const TOOLS = ['qemu-system-x86', 'busybox-static', 'ethtool'];
/** What a guest loads; what these depend on comes along. */
const GUEST_MODULES = [
  'ixgbevf',
  'igb',
  'sctp',
  'crc32c_generic',
  'vxlan',
  'vfio-pci',
  'vfio_iommu_type1',
  '9p',
  '9pnet_virtio',
  'virtio_pci',
  '8021q',
];
/** Everything that is fetched or built for guests; with other contents under the same names it gets another number. */
const FOLDER = 'vm-2';

/** The packages linux-* that a package wants in one version, as [{ name, version }]. */
function exactDepends(apt, { name, version }) {
  const { depends } = apt.show(`${name}=${version}`);
  return [...depends.matchAll(/(linux-[^\s,]+) \(= ([^)]+)\)/g)].map((match) => ({
    name: match[1],
    version: match[2],
  }));
}

/**
 * The kernel that a suite's metapackage stands for.
 * @returns { release, version, packages }: NAME=VERSION, more than one where image and modules are packed apart
 */
function findKernel(apt, suite) {
  const rows = apt.ask('apt-cache', ['madison', METAPACKAGE]).split('\n');
  const row = rows.find((line) => line.includes(` ${suite}/`));
  const meta = row?.split('|')[1]?.trim();
  if (meta === undefined) throw new UnavailableError(`${suite} has no ${METAPACKAGE}`);
  const depends = exactDepends(apt, { name: METAPACKAGE, version: meta });
  const image = depends.find(({ name }) => name.startsWith('linux-image-'));
  const release = image?.name.replace(/^linux-image-/, '');
  if (release === undefined) throw new Error(`${METAPACKAGE} ${meta} names no image`);
  const parts = exactDepends(apt, image).filter(({ name }) => name.endsWith(`-${release}`));
  const packages = [image, ...parts].map(({ name, version }) => `${name}=${version}`);
  return { release, version: image.version, packages };
}

/** Keeps of an image package: vmlinuz, config, and the modules of a guest, decompressed. */
function unpackKernel(debs, folder, busybox) {
  const whole = join(folder, 'whole');
  unpack(debs, whole);
  const files = filesUnder(whole);
  for (const part of ['vmlinuz', 'config']) {
    // Older packages put them into /boot with the release in their names, newer ones beside the modules without.
    copyFileSync(findFile(files, new RegExp(`/${part}(-[^/]*)?$`)), join(folder, part));
  }
  const byName = new Map();
  for (const path of files) {
    const match = /^(.*)\.ko(\.xz)?$/.exec(basename(path));
    if (match !== null) byName.set(match[1].replaceAll('-', '_'), path);
  }
  const read = (path) =>
    path.endsWith('.xz')
      ? output(busybox, ['xz', '-dc', path], { encoding: 'buffer' })
      : readFileSync(path);
  // Name to all that it needs, in the order of loading; a Map keeps it.
  const needs = new Map();
  mkdirSync(join(folder, 'modules'));
  const add = (name) => {
    const path = byName.get(name);
    // Not a file: it is built in.
    if (path === undefined) return [];
    const known = needs.get(name);
    if (known !== undefined) return [...known, name];
    const module = read(path);
    const all = [...new Set(moduleDependencies(module).flatMap(add))];
    needs.set(name, all);
    writeFileSync(join(folder, 'modules', `${name}.ko`), module);
    return [...all, name];
  };
  for (const name of GUEST_MODULES) add(name.replaceAll('-', '_'));
  for (const name of ['ixgbevf', 'igb', 'vfio_pci', 'vfio_iommu_type1'])
    if (!needs.has(name)) throw new Error(`${debs} hold no module ${name}`);
  const rows = [...needs].map(([name, all]) => [name, ...all].join(' '));
  writeFileSync(join(folder, 'modules/needs'), `${rows.join('\n')}\n`);
  rmSync(whole, { recursive: true });
}

/** Kernel headers of these suites, older and newer than iommufd's first change. */
const HEADER_SUITES = ['trixie', 'trixie-backports'];

/** Where the parts of an unpacked tools folder are. */
function toolPaths(root) {
  const files = filesUnder(root);
  const one = (pattern) => findFile(files, pattern);
  return {
    root,
    loader: one(/\/ld-linux-x86-64\.so\.2$/),
    libraries: [join(root, 'usr/lib/x86_64-linux-gnu'), join(root, 'lib/x86_64-linux-gnu')],
    qemu: one(/\/bin\/qemu-system-x86_64$/),
    busybox: one(/\/bin\/busybox$/),
    ethtool: one(/\/s?bin\/ethtool$/),
    firmware: ['usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu']
      .map((path) => join(root, path))
      .filter(existsSync),
  };
}

function fetchKernel(apt, folder, suite, tools, say) {
  const { release, version, packages } = findKernel(apt, suite);
  say(`Linux ${release} ${version}`);
  unpackKernel(apt.download(packages), folder, tools.busybox);
  writeFileSync(join(folder, 'release'), `${release}\n${version}\n`);
}

/**
 * Everything a guest needs, from the cache or fetched into it.
 * @param kinds kernels that are wanted: suites of Debian, or names of `builders`
 * @param builders functions (apt, folder, tools, say) that fill a kernel's folder, by name
 * @returns { tools, kernels: { KIND: { release, version, folder } }, headers: [{ suite, include }] }
 * @throws UnavailableError
 */
export function guestParts(kinds, say = () => {}, builders = {}) {
  const cache = cacheFolder(FOLDER);
  const apt = new PrivateApt(join(cache, `apt.${process.pid}`), SUITES);
  try {
    const root = join(cache, 'tools');
    makeFolder(root, (draft) => {
      say(TOOLS.join(', '));
      unpack(apt.downloadAll(TOOLS, QEMU_SUITE), draft);
    });
    const tools = toolPaths(root);
    const kernels = {};
    for (const kind of kinds) {
      const folder = join(cache, `kernel-${kind}`);
      makeFolder(folder, (draft) => {
        const build = builders[kind];
        if (build === undefined) fetchKernel(apt, draft, kind, tools, say);
        else build(apt, draft, tools, say);
      });
      const [release, version] = readFileSync(join(folder, 'release'), 'utf8').split('\n');
      kernels[kind] = { release, version, folder };
    }
    const headers = HEADER_SUITES.map((suite) => {
      const folder = join(cache, `headers-${suite}`);
      makeFolder(folder, (draft) => {
        say(`kernel headers of ${suite}`);
        unpack(apt.download([`linux-libc-dev/${suite}`]), draft);
      });
      return { suite, include: join(folder, 'usr/include') };
    });
    return { tools, kernels, headers };
  } finally {
    apt.close();
  }
}

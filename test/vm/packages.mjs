// QEMU, guest kernels, busybox and ethtool from Debian's packages, unpacked into the cache folder:
// nothing is installed, root is not needed. Mirror and keys come from the system's own apt
// configuration; package lists are kept apart from the system's. Whatever cannot be had here
// (no apt, no network) is an UnavailableError, which callers count as a skip.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { output, PrivateApt, QEMU_SUITE } from './apt.mjs';
import { moduleDependencies } from './modules.mjs';

const TOOLS = ['qemu-system-x86', 'busybox-static', 'ethtool'];
/** What a guest loads; what these depend on comes along. */
const GUEST_MODULES = [
  'ixgbevf',
  'vfio-pci',
  'vfio_iommu_type1',
  '9p',
  '9pnet_virtio',
  'virtio_pci',
  '8021q',
];
/** A folder with other contents under the same names gets another number. */
const LAYOUT = 1;

/** Folder of everything that is fetched or built for guests. */
export function cacheFolder() {
  const checkout = fileURLToPath(new URL('../..', import.meta.url));
  return join(process.env.IXY_CACHE_DIR || join(checkout, '.cache'), `vm-${LAYOUT}`);
}

/** Fills `folder` by way of a draft beside it: a folder that exists is whole. */
function make(folder, fill) {
  if (existsSync(folder)) return;
  const draft = `${folder}.${process.pid}`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  try {
    fill(draft);
    renameSync(draft, folder);
  } catch (error) {
    // Another run may have been first.
    if (!(error.code === 'ENOTEMPTY' && existsSync(folder))) throw error;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** Paths of everything below a folder. */
export function filesUnder(folder) {
  return readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name)));
}

/** Keeps of an image package: vmlinuz, config, and the modules of a guest, decompressed. */
function unpackKernel(debs, folder, busybox) {
  const whole = join(folder, 'whole');
  for (const deb of debs) output('dpkg-deb', ['-x', deb, whole]);
  const files = filesUnder(whole);
  for (const part of ['vmlinuz', 'config']) {
    const file = files.find((path) => basename(path).split('-')[0] === part);
    if (file === undefined) throw new Error(`${debs} hold no ${part}`);
    copyFileSync(file, join(folder, part));
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
  for (const name of ['ixgbevf', 'vfio_pci', 'vfio_iommu_type1'])
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
  const one = (pattern) => {
    const found = files.find((path) => pattern.test(path));
    if (found === undefined) throw new Error(`the packages hold no ${pattern}`);
    return found;
  };
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
  const { release, version, packages } = apt.kernel(suite);
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
  const cache = cacheFolder();
  mkdirSync(cache, { recursive: true });
  const aptFolder = join(cache, `apt.${process.pid}`);
  let apt;
  const privateApt = () => {
    if (apt === undefined) say('package lists');
    apt ??= new PrivateApt(aptFolder);
    return apt;
  };
  try {
    const root = join(cache, 'tools');
    make(root, (draft) => {
      const from = privateApt();
      say(TOOLS.join(', '));
      const debs = from.downloadAll(TOOLS, QEMU_SUITE);
      for (const name of readdirSync(debs))
        if (name.endsWith('.deb')) output('dpkg-deb', ['-x', join(debs, name), draft]);
    });
    const tools = toolPaths(root);
    const kernels = {};
    for (const kind of kinds) {
      const folder = join(cache, `kernel-${kind}`);
      make(folder, (draft) => {
        const build = builders[kind];
        if (build === undefined) fetchKernel(privateApt(), draft, kind, tools, say);
        else build(privateApt(), draft, tools, say);
      });
      const [release, version] = readFileSync(join(folder, 'release'), 'utf8').split('\n');
      kernels[kind] = { release, version, folder };
    }
    const headers = HEADER_SUITES.map((suite) => {
      const folder = join(cache, `headers-${suite}`);
      make(folder, (draft) => {
        say(`kernel headers of ${suite}`);
        for (const deb of privateApt().download([`linux-libc-dev/${suite}`]))
          output('dpkg-deb', ['-x', deb, draft]);
      });
      return { suite, include: join(folder, 'usr/include') };
    });
    return { tools, kernels, headers };
  } finally {
    rmSync(aptFolder, { recursive: true, force: true });
  }
}

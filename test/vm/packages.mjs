// QEMU, guest kernels, busybox and ethtool from Debian's packages, unpacked into the cache folder:
// nothing is installed, root is not needed. Mirror and keys come from the system's own apt
// configuration; package lists are kept apart from the system's. Whatever cannot be had here
// (no apt, no network) is an UnavailableError, which callers count as a skip.

import { spawnSync } from 'node:child_process';
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
import { moduleDependencies } from './modules.mjs';

/** vfio-user-pci came with QEMU 10.1; 10.1.1 is the first that works. Trixie has 10.0. */
const QEMU_SUITE = 'trixie-backports';
const SUITES = ['bookworm', 'trixie', QEMU_SUITE];
const TOOLS = ['qemu-system-x86', 'busybox-static', 'ethtool'];
const METAPACKAGE = 'linux-image-amd64';
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
const DOWNLOAD_MS = 900_000;
/** A folder with other contents under the same names gets another number. */
const LAYOUT = 1;

/** The packages cannot be had here: a skip, not a failure. */
export class UnavailableError extends Error {}

/** Folder of everything that is fetched or built for guests. */
export function cacheFolder() {
  const checkout = fileURLToPath(new URL('../..', import.meta.url));
  return join(process.env.IXY_CACHE_DIR || join(checkout, '.cache'), `vm-${LAYOUT}`);
}

/** Runs a program to its end. @throws Error where it fails; UnavailableError where there is none */
export function output(command, args, options = {}) {
  const result = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: DOWNLOAD_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    ...options,
  });
  if (result.error?.code === 'ENOENT') throw new UnavailableError(`${command} is missing`);
  if (result.error) throw new Error(`${command}: ${result.error.message}`);
  if (result.status === 0) return result.stdout;
  const said = String(result.stderr).trim().split('\n').slice(-3).join('; ');
  throw new Error(`${[command, ...args.slice(-3)].join(' ')}: status ${result.status}: ${said}`);
}

function firstLine(error) {
  return error.message.split(/; |\n/, 1)[0];
}

/** The same, where failing means that there is no network or no such package. */
function attempt(command, args, options) {
  try {
    return output(command, args, options);
  } catch (error) {
    throw error instanceof UnavailableError ? error : new UnavailableError(firstLine(error));
  }
}

/** Lines of a sources list: the main archive that apt is set up for, with our suites. */
function sourceLines() {
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)';
  const rows = attempt('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'])
    .trim()
    .split('\n')
    .map((line) => line.split('|'));
  const main = rows.find(
    ([, release, component]) => component === 'main' && !/[-/]/.test(release ?? ''),
  );
  if (main === undefined) throw new UnavailableError('apt has no archive with a component main');
  // Old versions of apt leave the name of a field that is not set.
  const key = main[3]?.startsWith('/') ? ` [signed-by=${main[3]}]` : '';
  return SUITES.map((suite) => `deb${key} ${main[0]} ${suite} main\n`).join('');
}

/** A private apt: its own lists, cache and status. Made once a run, where anything is missing. */
class PrivateApt {
  constructor(folder) {
    mkdirSync(join(folder, 'lists/partial'), { recursive: true });
    mkdirSync(join(folder, 'cache/archives/partial'), { recursive: true });
    mkdirSync(join(folder, 'etc/preferences.d'), { recursive: true });
    writeFileSync(join(folder, 'sources.list'), sourceLines());
    writeFileSync(join(folder, 'status'), '');
    this.folder = folder;
    this.options = Object.entries({
      'Dir::State': folder,
      'Dir::State::Lists': join(folder, 'lists'),
      'Dir::State::status': join(folder, 'status'),
      'Dir::Cache': join(folder, 'cache'),
      'Dir::Etc::sourcelist': join(folder, 'sources.list'),
      'Dir::Etc::sourceparts': '/dev/null',
      'Dir::Etc::preferences': '/dev/null',
      'Dir::Etc::preferencesparts': join(folder, 'etc/preferences.d'),
      'APT::Sandbox::User': 'root',
      'APT::Update::Error-Mode': 'any',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '1',
      'Acquire::http::Timeout': '20',
    }).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    attempt('apt-get', [...this.options, '-qq', 'update']);
  }

  /** Downloads packages and what they depend on. @returns folder of the .deb files */
  downloadAll(names, suite) {
    const flags = ['-qq', '-y', '-t', suite, '--no-install-recommends', '--download-only'];
    attempt('apt-get', [...this.options, ...flags, 'install', ...names]);
    return join(this.folder, 'cache/archives');
  }

  /** Downloads packages as they are: NAME=VERSION or NAME/SUITE. @returns the .deb files */
  download(wanted) {
    const folder = join(this.folder, 'single');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    attempt('apt-get', [...this.options, '-qq', 'download', ...wanted], { cwd: folder });
    return readdirSync(folder).map((file) => join(folder, file));
  }

  /**
   * The kernel that a suite's metapackage stands for.
   * @returns { release, version, packages }: NAME=VERSION, more than one where image and modules are packed apart
   */
  kernel(suite) {
    const rows = attempt('apt-cache', [...this.options, 'madison', METAPACKAGE]).split('\n');
    const row = rows.find((line) => line.includes(` ${suite}/`));
    const meta = row?.split('|')[1]?.trim();
    if (meta === undefined) throw new UnavailableError(`${suite} has no ${METAPACKAGE}`);
    const depends = this.exactDepends({ name: METAPACKAGE, version: meta });
    const image = depends.find(({ name }) => name.startsWith('linux-image-'));
    const release = image?.name.replace(/^linux-image-/, '');
    if (release === undefined) throw new Error(`${METAPACKAGE} ${meta} names no image`);
    const parts = this.exactDepends(image).filter(({ name }) => name.endsWith(`-${release}`));
    const packages = [image, ...parts].map(({ name, version }) => `${name}=${version}`);
    return { release, version: image.version, packages };
  }

  /** The version that apt would install. */
  candidate(name) {
    const policy = attempt('apt-cache', [...this.options, 'policy', name]);
    const version = /Candidate: (\d\S*)/.exec(policy)?.[1];
    if (version === undefined) throw new UnavailableError(`no package ${name}`);
    return version;
  }

  /** The packages linux-* that a package wants in one version. */
  exactDepends({ name, version }) {
    const stanza = attempt('apt-cache', [...this.options, 'show', `${name}=${version}`]);
    const line = /^Depends: (.*)$/m.exec(stanza)?.[1] ?? '';
    return [...line.matchAll(/(linux-[^\s,]+) \(= ([^)]+)\)/g)].map((match) => ({
      name: match[1],
      version: match[2],
    }));
  }
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
 * @returns { tools, kernels: { KIND: { release, version, folder } } }
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
    return { tools, kernels };
  } finally {
    rmSync(aptFolder, { recursive: true, force: true });
  }
}

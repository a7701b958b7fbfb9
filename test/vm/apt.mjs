// A private apt: its own lists, cache and status, so that nothing of the system is touched and root
// is not needed. Mirror and keys come from the system's own apt configuration. What fails for want
// of a network or a package is an UnavailableError, which callers count as a skip.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Debian's releases that packages are taken from. vfio-user-pci came with QEMU 10.1; trixie has 10.0. */
export const QEMU_SUITE = 'trixie-backports';
const SUITES = ['bookworm', 'trixie', QEMU_SUITE];
const METAPACKAGE = 'linux-image-amd64';
const DOWNLOAD_MS = 900_000;

/** The packages cannot be had here: a skip, not a failure. */
export class UnavailableError extends Error {}

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
export class PrivateApt {
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

// Debian's packages, downloaded by an apt of our own and unpacked into a cache folder: nothing is installed, root is not
// needed, and the system's package lists stay as they are. Mirror and keys come from the system's own apt
// configuration. What fails for want of a network or a package is an UnavailableError, which callers count as a skip.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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

/** The same, where failing means that there is no network or no such package. @throws UnavailableError */
export function attempt(command, args, options) {
  try {
    return output(command, args, options);
  } catch (error) {
    if (error instanceof UnavailableError) throw error;
    throw new UnavailableError(error.message.split(/; |\n/, 1)[0]);
  }
}

/** A folder of the cache, which is IXY_CACHE_DIR or .cache of this checkout. */
export function cacheFolder(name) {
  const checkout = fileURLToPath(new URL('../..', import.meta.url));
  return join(process.env.IXY_CACHE_DIR || join(checkout, '.cache'), name);
}

/** Fills `folder` by way of a draft beside it, unless it exists: a folder that exists is whole. */
export function makeFolder(folder, fill) {
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

/** The file among `files` whose path matches. @throws Error where the packages hold none */
export function findFile(files, pattern) {
  const found = files.find((path) => pattern.test(path));
  if (found === undefined) throw new Error(`the packages hold no ${pattern}`);
  return found;
}

/** Unpacks .deb files into a folder. */
export function unpack(debs, folder) {
  for (const deb of debs) output('dpkg-deb', ['-x', deb, folder]);
}

/** Lines of a sources list: the main archive that apt is set up for, with these suites, by default its own. */
function sourceLines(suites) {
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)';
  const rows = attempt('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'])
    .trim()
    .split('\n')
    .map((line) => line.split('|'));
  const main = rows.find(
    ([, release, component]) => component === 'main' && !/[-/]/.test(release ?? ''),
  );
  if (main === undefined) throw new UnavailableError('apt has no archive with a component main');
  const [archive, release, , signedBy] = main;
  // Old versions of apt leave the name of a field that is not set.
  const key = signedBy?.startsWith('/') ? ` [signed-by=${signedBy}]` : '';
  return (suites ?? [release]).map((suite) => `deb${key} ${archive} ${suite} main\n`).join('');
}

/** An apt with lists, cache and status of its own. It fetches the package lists when it is first asked something. */
export class PrivateApt {
  #folder;
  #suites;
  #options;

  /**
   * @param folder for its files, removed by close()
   * @param suites of Debian; undefined: the one that the system's apt is set up for
   */
  constructor(folder, suites) {
    this.#folder = folder;
    this.#suites = suites;
  }

  /** Runs a program of apt's. @returns its output */
  ask(program, args, options) {
    this.#options ??= this.#prepare();
    return attempt(program, [...this.#options, ...args], options);
  }

  #prepare() {
    const at = (name) => join(this.#folder, name);
    for (const name of ['lists/partial', 'cache/archives/partial', 'preferences.d'])
      mkdirSync(at(name), { recursive: true });
    writeFileSync(at('sources.list'), sourceLines(this.#suites));
    writeFileSync(at('status'), '');
    const options = Object.entries({
      'Dir::State': this.#folder,
      'Dir::State::Lists': at('lists'),
      'Dir::State::status': at('status'),
      'Dir::Cache': at('cache'),
      'Dir::Etc::sourcelist': at('sources.list'),
      'Dir::Etc::sourceparts': '/dev/null',
      'Dir::Etc::preferences': '/dev/null',
      'Dir::Etc::preferencesparts': at('preferences.d'),
      'APT::Sandbox::User': 'root',
      'APT::Update::Error-Mode': 'any',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '1',
      'Acquire::http::Timeout': '20',
    }).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    attempt('apt-get', [...options, '-qq', 'update']);
    return options;
  }

  /** Downloads packages and what they depend on. @returns the .deb files */
  downloadAll(names, suite) {
    const release = suite === undefined ? [] : ['-t', suite];
    const flags = ['-qq', '-y', ...release, '--no-install-recommends', '--download-only'];
    this.ask('apt-get', [...flags, 'install', ...names]);
    return filesUnder(join(this.#folder, 'cache/archives')).filter((file) => file.endsWith('.deb'));
  }

  /** Downloads packages as they are: NAME, NAME=VERSION or NAME/SUITE. @returns the .deb files */
  download(wanted) {
    const folder = join(this.#folder, 'single');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    this.ask('apt-get', ['-qq', 'download', ...wanted], { cwd: folder });
    return filesUnder(folder);
  }

  /** What a package (NAME or NAME=VERSION) says of itself. @returns { version, depends }, depends as it is written */
  show(name) {
    const stanza = this.ask('apt-cache', ['--no-all-versions', 'show', name]);
    const field = (key) => new RegExp(`^${key}: (.*)$`, 'm').exec(stanza)?.[1] ?? '';
    return { version: field('Version'), depends: field('Depends') };
  }

  close() {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

// Debian's dpdk-testpmd with its libraries and loader, unpacked into the cache folder: nothing is
// installed, root is not needed. Mirrors and keys come from the system's own apt configuration,
// package lists are kept apart from the system's. The last line of stdout is a JSON object: where
// the parts are. Exit status: 0 done, 77 where packages cannot be had here (no apt, no network),
// 1 failed, 2 bad usage.
//   node scripts/fetch-dpdk.mjs [--suite NAME]    trixie has DPDK 24.11, bookworm 22.11
//   IXY_CACHE_DIR=DIR                             default: .cache of this checkout

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const UNAVAILABLE = 77;
/** The plug-ins that testpmd loads for an 82599 VF; libraries come by their dependencies. */
const PLUGINS = ['librte-bus-pci', 'librte-mempool-ring', 'librte-net-ixgbe'];

/** Packages that hold libraries: testpmd needs no others. */
const LIBRARY = /^(lib|ibverbs-providers$)/;

/** Ends the program with one line. */
class FetchError extends Error {
  constructor(message, status = 1) {
    super(message);
    this.status = status;
  }
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: 600_000,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    ...options,
  });
  if (result.error?.code === 'ENOENT')
    throw new FetchError(`${command} is missing: DPDK is fetched with apt and dpkg`, UNAVAILABLE);
  if (result.error) throw new FetchError(`${command}: ${result.error.message}`);
  return result;
}

function output(command, args, options) {
  const { status, stdout, stderr } = run(command, args, options);
  if (status === 0) return stdout;
  const said = stderr.trim().split('\n').slice(-3).join('; ');
  throw new FetchError(`${[command, ...args.slice(-3)].join(' ')}: status ${status}: ${said}`);
}

/** The main archive that apt is set up for, as a line of a sources list for another suite. */
function sourceLine(suite) {
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)';
  const rows = output('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'])
    .trim()
    .split('\n')
    .map((line) => line.split('|'));
  const main = rows.find(
    ([, release, component]) => component === 'main' && !/[-/]/.test(release ?? ''),
  );
  if (main === undefined)
    throw new FetchError('apt has no archive with a component main', UNAVAILABLE);
  // Old versions of apt leave the name of a field that is not set.
  const signedBy = main[3]?.startsWith('/') ? ` [signed-by=${main[3]}]` : '';
  return `deb${signedBy} ${main[0]} ${suite} main\n`;
}

/** Options that keep apt's state in `folder`, and let it see `suite` instead of what is set up. */
function aptOptions(folder, suite) {
  mkdirSync(join(folder, 'lists/partial'), { recursive: true });
  mkdirSync(join(folder, 'cache/archives/partial'), { recursive: true });
  const settings = {
    'Dir::State::Lists': join(folder, 'lists'),
    'Dir::Cache': join(folder, 'cache'),
    'Dir::State::status': '/dev/null',
    'APT::Update::Error-Mode': 'any',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '1',
    'Acquire::http::Timeout': '20',
  };
  if (suite !== undefined) {
    writeFileSync(join(folder, 'sources.list'), sourceLine(suite));
    settings['Dir::Etc::sourcelist'] = join(folder, 'sources.list');
    settings['Dir::Etc::sourceparts'] = '/dev/null';
  }
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** The versioned package of a plug-in: librte-net-ixgbe23. */
function pluginPackage(apt, prefix) {
  const names = output('apt-cache', [...apt, 'pkgnames', prefix])
    .trim()
    .split('\n');
  const found = names.find((name) => /^\d+$/.test(name.slice(prefix.length)));
  if (found === undefined) throw new FetchError(`no package ${prefix}*`, UNAVAILABLE);
  return found;
}

/** Packages and all libraries that they need, the C library among them. */
function closure(apt, roots) {
  const wanted = new Set();
  let fresh = roots;
  while (fresh.length > 0) {
    for (const name of fresh) wanted.add(name);
    const only = ['recommends', 'suggests', 'enhances', 'conflicts', 'breaks', 'replaces'];
    const flags = only.map((kind) => `--no-${kind}`);
    const text = output('apt-cache', [...apt, ...flags, 'depends', ...fresh]);
    const named = [...text.matchAll(/^[ |]*(?:Pre)?Depends: ([^<\s]+)$/gm)].map((m) => m[1]);
    fresh = [...new Set(named)].filter(
      (name) => LIBRARY.test(name) && !/-dev$/.test(name) && !wanted.has(name),
    );
  }
  return [...wanted];
}

function findOne(folder, pattern, what) {
  const all = readdirSync(folder, { recursive: true }).map(String);
  const found = all.find((name) => pattern.test(name));
  if (found === undefined) throw new FetchError(`the packages hold no ${what}`);
  return join(folder, found);
}

/** Where the parts are, in a folder that may be moved: paths are relative to it. */
function describe(folder, version) {
  const root = join(folder, 'root');
  const relative = (path) => path.slice(folder.length + 1);
  return {
    version,
    testpmd: relative(findOne(root, /\/bin\/dpdk-testpmd$/, 'dpdk-testpmd')),
    loader: relative(findOne(root, /\/ld-linux-x86-64\.so\.2$/, 'loader')),
    libraries: ['root/lib/x86_64-linux-gnu', 'root/usr/lib/x86_64-linux-gnu'],
    plugins: PLUGINS.map((name) => {
      const library = name.replaceAll('-', '_');
      return relative(findOne(root, new RegExp(`/pmds-[^/]*/${library}\\.so\\.\\d+$`), library));
    }),
  };
}

function fetchDpdk(folder, suite) {
  const draft = `${folder}.${process.pid}`;
  rmSync(draft, { recursive: true, force: true });
  try {
    const apt = aptOptions(draft, suite);
    process.stderr.write('fetching DPDK: package lists\n');
    const update = run('apt-get', [...apt, '-qq', 'update']);
    if (update.status !== 0) {
      const line = update.stderr.trim().split('\n')[0];
      throw new FetchError(`no package lists to be had: ${line}`, UNAVAILABLE);
    }
    const policy = output('apt-cache', [...apt, 'policy', 'dpdk-dev']);
    const version = /Candidate: (\d\S*)/.exec(policy)?.[1];
    if (version === undefined) throw new FetchError('no package dpdk-dev', UNAVAILABLE);
    const roots = ['dpdk-dev', ...PLUGINS.map((prefix) => pluginPackage(apt, prefix))];
    const packages = closure(apt, roots);
    process.stderr.write(`fetching DPDK ${version}: ${packages.length} packages\n`);
    const debs = join(draft, 'debs');
    const root = join(draft, 'root');
    mkdirSync(debs);
    mkdirSync(root);
    const download = run('apt-get', [...apt, '-qq', 'download', ...packages], { cwd: debs });
    if (download.status !== 0) {
      const line = download.stderr.trim().split('\n')[0];
      throw new FetchError(`packages could not be downloaded: ${line}`, UNAVAILABLE);
    }
    for (const name of readdirSync(debs)) output('dpkg-deb', ['-x', join(debs, name), root]);
    for (const name of ['debs', 'lists', 'cache', 'sources.list'])
      rmSync(join(draft, name), { recursive: true, force: true });
    // Written last: a folder that has it is whole.
    const parts = describe(draft, version);
    writeFileSync(join(draft, 'parts.json'), `${JSON.stringify(parts, null, 2)}\n`);
    rmSync(folder, { recursive: true, force: true });
    renameSync(draft, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function main() {
  const { values } = parseArgs({ options: { suite: { type: 'string' } } });
  if (values.suite !== undefined && !/^[a-z][a-z0-9-]*$/.test(values.suite))
    throw new FetchError(`--suite: expected a name such as trixie, got '${values.suite}'`, 2);
  const checkout = fileURLToPath(new URL('..', import.meta.url));
  const cache = process.env.IXY_CACHE_DIR || join(checkout, '.cache');
  const folder = join(cache, `dpdk-${values.suite ?? 'system'}`);
  mkdirSync(cache, { recursive: true });
  if (!existsSync(join(folder, 'parts.json'))) fetchDpdk(folder, values.suite);
  const parts = JSON.parse(readFileSync(join(folder, 'parts.json'), 'utf8'));
  const absolute = (path) => join(folder, path);
  process.stdout.write(
    `${JSON.stringify({
      version: parts.version,
      testpmd: absolute(parts.testpmd),
      loader: absolute(parts.loader),
      libraries: parts.libraries.map(absolute),
      plugins: parts.plugins.map(absolute),
    })}\n`,
  );
}

try {
  main();
} catch (error) {
  const usage = error.code?.startsWith?.('ERR_PARSE_ARGS');
  if (!(error instanceof FetchError) && !usage) throw error;
  process.stderr.write(`fetch-dpdk: ${error.message}\n`);
  process.exitCode = usage ? 2 : error.status;
}

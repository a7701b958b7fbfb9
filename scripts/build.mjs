// src, native, examples and bench -> dist. The stamp holds a fingerprint of every source (path,
// size, modification time), so that a changed, added or deleted one rebuilds; what a build did
// not write is removed from dist.

import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { compiler, nodeApiInclude, requirePrograms, run, say } from './tools.mjs';

const STAMP = 'dist/.stamp';
const FLAGS = ['-std=c11', '-O2', '-fPIC', '-shared', '-pthread', '-Wall', '-Wextra'];

/** The native outputs: the shim, and the library behind `ixy preload`. Each is made of every .c file of its folder and of native. */
const NATIVE = [
  {
    output: 'dist/native/ixy-shim.node',
    folder: 'native/shim',
    flags: ['-fvisibility=hidden'],
    nodeApi: true,
  },
  {
    output: 'dist/native/preload.so',
    folder: 'native/preload',
    // Some compilers fortify by themselves, which makes open and read inline functions.
    flags: ['-U_FORTIFY_SOURCE', '-fvisibility=hidden', '-ldl'],
    nodeApi: false,
  },
];

const PROJECTS = [
  { config: 'tsconfig.build.json', sources: ['src'] },
  { config: 'tsconfig.programs.json', sources: ['examples', 'bench'] },
];

function filesBelow(directory) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

function fingerprint(root) {
  const configs = readdirSync(root).filter((name) => /^tsconfig.*\.json$/.test(name));
  const files = [
    ...['package.json', 'scripts/build.mjs', ...configs].map((name) => join(root, name)),
    ...['src', 'native', 'examples', 'bench'].flatMap((name) => filesBelow(join(root, name))),
  ];
  const hash = createHash('sha256');
  for (const file of files.sort()) {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${relative(root, file)} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

function nativeRows(root) {
  return NATIVE.filter((row) => existsSync(join(root, row.folder)));
}

/** Whether dist was built from the sources as they are now. */
export function buildIsFresh(root) {
  const stamp = join(root, STAMP);
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== fingerprint(root)) return false;
  return nativeRows(root).every((row) => existsSync(join(root, row.output)));
}

function isNewerThan(output, inputs) {
  const made = statSync(output, { throwIfNoEntry: false })?.mtimeMs;
  return made !== undefined && inputs.every((file) => statSync(file).mtimeMs < made);
}

async function compileNative(root, row, force) {
  const output = join(root, row.output);
  const folders = [join(root, 'native'), join(root, row.folder)];
  const inputs = filesBelow(folders[0]).filter((file) => folders.includes(dirname(file)));
  const sources = inputs.filter((file) => file.endsWith('.c')).sort();
  if (!force && isNewerThan(output, [...inputs, join(root, 'scripts/build.mjs')])) return;
  const include = row.nodeApi ? ['-I', nodeApiInclude(root)] : [];
  const draft = `${output}.${process.pid}`;
  mkdirSync(dirname(output), { recursive: true });
  try {
    await run(compiler(), [...FLAGS, ...include, '-o', draft, ...sources, ...row.flags], {
      cwd: root,
    });
    // A rename: writing into the old file would crash a process that has it loaded.
    renameSync(draft, output);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Runs tsc on one project. @returns absolute paths of the files it wrote */
async function compileProject(root, { config, sources }) {
  const inputs = sources.flatMap((name) => filesBelow(join(root, name)));
  if (!inputs.some((file) => file.endsWith('.ts'))) return []; // tsc calls that an error
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const output = await run(process.execPath, [tsc, '-p', config, '--listEmittedFiles'], {
    cwd: root,
    capture: true,
  });
  return [...output.matchAll(/^TSFILE: (.*)$/gm)].map((match) => match[1]);
}

/** Programs that somebody waits for at their start: loading one file takes 60 to 80 ms less than loading 60 (node 20). */
const BUNDLED = ['cli/l2fwd/command.js', 'cli/l2fwd/worker.js', 'cli/model/command.js'];

/**
 * Puts a program of dist into one file, in its place. What it says of its place stays as it was, so that code copies
 * of the queues (support/code-copy.ts) still come from the files of dist.
 */
async function bundleProgram(root, name) {
  const input = join(root, 'dist', name);
  const home = dirname(input);
  const bundler = join(root, 'node_modules/rolldown/dist/index.mjs');
  if (!existsSync(input)) return;
  const { rolldown } = await import(pathToFileURL(bundler).href);
  const places = {
    name: 'places',
    transform: (code, id) =>
      code.replaceAll(
        'import.meta.url',
        `new URL(${JSON.stringify(relative(home, id))}, import.meta.url).href`,
      ),
  };
  const bundle = await rolldown({
    input,
    platform: 'node',
    // What main.js shares with every command: the class of errors of the command line, and the state of the output.
    external: [/^node:/, /arguments\.js$/, /run\/output\.js$/],
    plugins: [places],
  });
  try {
    const draft = `${input}.${process.pid}`;
    await bundle.write({ file: draft, format: 'esm', codeSplitting: false });
    renameSync(draft, input);
    rmSync(`${input}.map`, { force: true });
  } finally {
    await bundle.close();
  }
}

function removeOthers(root, written) {
  const keep = new Set(written);
  const dist = join(root, 'dist');
  for (const file of filesBelow(dist)) if (!keep.has(file)) rmSync(file, { force: true });
  const directories = readdirSync(dist, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  // Deepest first, so that a directory whose last one goes is empty in time.
  for (const directory of directories.sort((a, b) => b.length - a.length))
    if (readdirSync(directory).length === 0) rmdirSync(directory);
}

export async function build(root, force) {
  requirePrograms(['cc']);
  say('building native code and TypeScript: takes about 10 s');
  // Taken before the build: a source that changes while it runs is built again the next time.
  const stamp = fingerprint(root);
  rmSync(join(root, STAMP), { force: true });
  const written = [];
  for (const row of nativeRows(root)) {
    await compileNative(root, row, force);
    written.push(join(root, row.output));
  }
  for (const project of PROJECTS) written.push(...(await compileProject(root, project)));
  for (const name of BUNDLED) await bundleProgram(root, name);
  removeOthers(root, written);
  writeFileSync(join(root, STAMP), stamp);
}

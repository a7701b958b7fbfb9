// How the source hangs together: which room may import which (docs/design.md, "The rooms"), where packages of
// others may stand, no circles, tests where a reader looks for them. A breach is reported as "file: rule: detail".
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A room's own files, and the places of src that it may import from: folders, files, or `name.ts` for a file. */
type Rooms = Readonly<Record<string, readonly string[]>>;

const ROOMS: Rooms = {
  hw: [],
  support: [],
  memory: ['support', 'vfio/device.ts'],
  vfio: ['memory', 'support', 'hw'],
  traffic: ['hw', 'memory', 'support'],
  packet: ['hw', 'memory', 'support'],
  ixgbevf: ['hw', 'memory', 'vfio/device.ts', 'support', 'packet'],
  model: [
    ...['hw', 'memory', 'support', 'traffic', 'packet'],
    // The server speaks the protocol whose other end is vfio/user; both share the kernel's constants.
    ...['vfio/device.ts', 'vfio/linux-vfio.ts', 'vfio/dma-table.ts', 'vfio/user'],
  ],
  report: ['support', 'traffic'],
  'open.ts': ['ixgbevf', 'model', 'vfio', 'memory', 'support'],
  'index.ts': ['open.ts', 'hw/descriptors.ts', 'ixgbevf', 'model', 'vfio', 'memory', 'support'],
  cli: [
    ...['open.ts', 'report', 'traffic', 'packet', 'ixgbevf', 'model', 'vfio', 'memory'],
    ...['support', 'hw'],
  ],
};

/** What the rooms inside the model share. */
const MODEL_SHARED = [
  'types.ts',
  'layout.ts',
  'frame.ts',
  'tables.ts',
  'recorder.ts',
  'silicon.ts',
];

/** Inside src/model: vf, pf, engine and switch meet in the shared files; nic.ts and nic-port.ts put them together. */
const MODEL: Rooms = {
  vf: MODEL_SHARED,
  pf: MODEL_SHARED,
  engine: MODEL_SHARED,
  switch: MODEL_SHARED,
  ports: MODEL_SHARED,
  host: ['nic.ts', 'pf/pf.ts', 'pf/types.ts', 'types.ts'],
  server: [...MODEL_SHARED, 'nic.ts', 'host'],
  'types.ts': MODEL_SHARED,
  'layout.ts': [],
  'frame.ts': ['tables.ts'],
  'tables.ts': [],
  'recorder.ts': [],
  'silicon.ts': [],
  'nic-port.ts': [...MODEL_SHARED, 'vf', 'pf', 'engine', 'switch', 'ports'],
  'nic.ts': [...MODEL_SHARED, 'nic-port.ts', 'vf', 'pf', 'engine', 'switch', 'ports'],
  'direct-device.ts': MODEL_SHARED,
  'local-model.ts': [
    ...MODEL_SHARED,
    'nic.ts',
    'nic-port.ts',
    'direct-device.ts',
    'pf/pf.ts',
    'host/host.ts',
  ],
};

const COMMON_CLI = ['arguments.ts', 'run'];

/** Inside src/cli: a command's folder knows what commands share, and no other command. */
const CLI: Rooms = {
  'arguments.ts': [],
  // The model that a command starts is described and reported as `ixy model` does it; preload serves one, too.
  run: ['arguments.ts', 'model/plan.ts', 'model/report.ts'],
  l2fwd: COMMON_CLI,
  pktgen: COMMON_CLI,
  dump: COMMON_CLI,
  model: COMMON_CLI,
  pci: COMMON_CLI,
  pf: [...COMMON_CLI, 'model/plan.ts'],
  doctor: COMMON_CLI,
  preload: [...COMMON_CLI, 'model/plan.ts'],
  'main.ts': [...COMMON_CLI, 'l2fwd', 'pktgen', 'dump', 'model', 'pf', 'pci', 'doctor', 'preload'],
};

/** Inside src/vfio: the two backends share files of the folder and know nothing of each other. */
const VFIO_SHARED = [
  'device.ts',
  'address.ts',
  'linux-vfio.ts',
  'bar-pages.ts',
  'dma-table.ts',
  'events.ts',
];
const VFIO: Rooms = {
  kernel: VFIO_SHARED,
  user: VFIO_SHARED,
  ...Object.fromEntries(VFIO_SHARED.map((file) => [file, VFIO_SHARED])),
};

/** Packages that src may use, and where; always loaded when they are needed, never by importing ixy.ts. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  'ffi-napi': ['vfio/kernel'],
  '@2060.io/ref-napi': ['vfio/kernel'],
  'ref-struct-di': ['vfio/kernel'],
  uplot: ['report'],
};

/** Files that may be longer than 320 lines, each for a reason. */
const LONG: readonly string[] = [];

const inRoot = (path: string): string => relative(root, path);

function filesUnder(folder: string, pattern: RegExp): string[] {
  const all = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return all.filter((name) => pattern.test(name)).map((name) => join(folder, name));
}

interface Import {
  readonly name: string;
  /** The file in this repository, from its root; '' for a package. */
  readonly target: string;
  /** Done when the importing file is loaded; type imports are not. */
  readonly eager: boolean;
}

/** Static, type, dynamic imports, and require(). `#dist/` is how benches name what was built from src. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const pattern = /(import\s+type\b[^;']*?from|from|\bimport\(|\brequire\(|^import)\s*'([^']+)'/gm;
  return [...text.matchAll(pattern)].map(([, how, name]) => {
    const built = name.startsWith('#dist/');
    const path = built
      ? join(root, name.replace('#dist/', 'src/'))
      : resolve(root, dirname(file), name);
    const target = built || name.startsWith('.') ? inRoot(path).replace(/\.js$/, '.ts') : '';
    return { name, target, eager: how === 'from' || how === 'import' };
  });
}

const sources = filesUnder('src', /\.ts$/);
const typescript = [
  ...sources,
  ...filesUnder('bench', /\.ts$/),
  ...filesUnder('examples', /\.ts$/),
];
const graph = new Map(typescript.map((file) => [file, importsOf(file)]));

function expectNone(breaches: readonly string[]): void {
  expect(breaches).toEqual([]);
}

/** Breaches of a table of rooms inside `folder`. */
function wrongImports(folder: string, rooms: Rooms): string[] {
  const wrong: string[] = [];
  for (const file of sources.filter((name) => name.startsWith(`${folder}/`))) {
    const room = relative(folder, file).split('/')[0];
    if (rooms[room] === undefined) {
      wrong.push(`${file}: rooms of ${folder}: expected one of ${Object.keys(rooms)}, got ${room}`);
      continue;
    }
    for (const { target } of graph.get(file) ?? []) {
      const inside = relative(folder, target);
      if (target === '' || inside.startsWith('..') || inside.split('/')[0] === room) continue;
      const allowed = rooms[room].some(
        (place) => inside === place || inside.startsWith(`${place}/`),
      );
      if (!allowed) wrong.push(`${file}: rooms of ${folder}: imports ${target}`);
    }
  }
  return wrong;
}

describe('a room imports only what lies below it', () => {
  it.each([
    ['src', ROOMS],
    ['src/model', MODEL],
    ['src/cli', CLI],
    ['src/vfio', VFIO],
  ])('in %s', (folder, rooms) => {
    expectNone(wrongImports(folder, rooms));
  });

  it('and no file imports itself by way of others', () => {
    expectNone(
      circles().map(([first, ...others]) => `${first}: no circles: with ${others.join(', ')}`),
    );
  });

  it('and src stands alone', () => {
    const outside = sources.flatMap((file) =>
      (graph.get(file) ?? [])
        .filter(({ target }) => target !== '' && !target.startsWith('src/'))
        .map(({ name }) => `${file}: src stands alone: imports ${name}`),
    );
    expectNone(outside);
  });
});

/** Groups of files that import one another in a circle, type imports counted: Tarjan's algorithm. */
function circles(): string[][] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (file: string): number => {
    const place = order.size;
    order.set(file, place);
    low.set(file, place);
    stack.push(file);
    for (const { target } of graph.get(file) ?? []) {
      if (!graph.has(target)) continue;
      const reached = order.has(target)
        ? stack.includes(target)
          ? low.get(target)
          : place
        : visit(target);
      low.set(file, Math.min(low.get(file) ?? place, reached ?? place));
    }
    if (low.get(file) === place) {
      const group = stack.splice(stack.indexOf(file));
      if (group.length > 1 || graph.get(file)?.some(({ target }) => target === file))
        found.push(group.sort());
    }
    return low.get(file) ?? place;
  };
  for (const file of graph.keys()) if (!order.has(file)) visit(file);
  return found;
}

describe('packages of others', () => {
  it('stand only where the table has them, and are loaded when they are needed', () => {
    const wrong: string[] = [];
    for (const file of sources) {
      for (const { name, target, eager } of graph.get(file) ?? []) {
        if (target !== '' || name.startsWith('node:')) continue;
        const places = PACKAGES[name];
        if (!places?.some((place) => file.startsWith(`src/${place}/`))) {
          wrong.push(`${file}: packages: expected ${name} in ${places ?? 'no file of src'}`);
        } else if (eager) {
          wrong.push(`${file}: packages: expected ${name} to be loaded when it is needed`);
        }
      }
    }
    expectNone(wrong);
  });

  it('are not loaded by importing ixy.ts', () => {
    // The hooks run in a thread of their own, so they write what they see straight to stdout.
    const hooks = `import { writeSync } from 'node:fs';
      export async function resolve(name, context, next) {
        const found = await next(name, context);
        writeSync(1, found.url + '\\n');
        return found;
      }`;
    const program = `import { createRequire, register } from 'node:module';
      register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hooks)}));
      await import('ixy.ts');
      for (const path of Object.keys(createRequire(import.meta.url).cache)) console.log(path);`;
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      cwd: root,
      encoding: 'utf8',
    });
    const modules = out.trim().split('\n');
    expect(modules.some((path) => path.endsWith('dist/ixgbevf/vf.js'))).toBe(true);
    expect(modules.filter((path) => path.includes('node_modules'))).toEqual([]);
  });
});

describe('examples', () => {
  it('import only the public names', () => {
    const wrong = filesUnder('examples', /\.ts$/).flatMap((file) =>
      importsOf(file)
        .filter(({ name }) => name !== 'ixy.ts' && !name.startsWith('node:'))
        .map(({ name }) => `${file}: public names: imports ${name}`),
    );
    expectNone(wrong);
  });
});

describe('files', () => {
  it('have their tests at the same path below test/', () => {
    const wrong: string[] = [];
    for (const test of filesUnder('test', /\.test\.ts$/)) {
      const [room] = relative('test', test).split('/');
      if (ROOMS[room] === undefined) continue;
      const mirrored = test.replace(/^test/, 'src').replace(/\.test\.ts$/, '.ts');
      if (existsSync(join(root, mirrored))) continue;
      // A test with a name of its own is about its folder; one named after a file elsewhere was left behind.
      const namesake = sources.find(
        (file) => file.startsWith(`src/${room}/`) && basename(file) === basename(mirrored),
      );
      const expected = existsSync(join(root, dirname(mirrored))) ? namesake : dirname(mirrored);
      if (expected !== undefined) wrong.push(`${test}: tests mirror src: expected for ${expected}`);
    }
    expectNone(wrong);
  });

  it('stay under 320 lines', () => {
    const code = [
      ...typescript,
      ...filesUnder('native', /\.[ch]$/),
      ...filesUnder('bench', /\.c$/),
    ];
    const long = code
      .map((file) => ({
        file,
        lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1,
      }))
      .filter(({ file, lines }) => lines >= 320 && !LONG.includes(file));
    expectNone(long.map(({ file, lines }) => `${file}: under 320 lines: has ${lines}`));
  });

  it("do not repeat their room's name", () => {
    const wrong = sources.filter((file) =>
      basename(file).startsWith(`${basename(dirname(file))}-`),
    );
    expectNone(wrong.map((file) => `${file}: names: begins with its room's name`));
  });
});

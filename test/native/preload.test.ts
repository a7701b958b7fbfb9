// The preload library under a small VFIO program (vfio-probe.c) and over a server of its own
// (stand-in.py): what the program is told, and what reaches the server for it. The program's
// values are results of calls, or negated errnos.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const library = at('../../dist/native/preload.so');
const EINVAL = -22;
let folder: string;

beforeAll(() => {
  expect(existsSync(library)).toBe(true);
  folder = mkdtempSync(join(tmpdir(), 'ixy-preload-test-'));
  const cc = (output: string, ...rest: string[]) =>
    execFileSync('cc', [
      '-std=gnu11',
      '-O2',
      '-w',
      '-pthread',
      '-o',
      join(folder, output),
      ...rest,
    ]);
  cc('probe', at('vfio-probe.c'));
  // Absolute addresses are among the forms.
  cc('decode-check', '-no-pie', at('decode-check.c'), at('../../native/preload/decode.c'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Message = Readonly<Record<string, number | boolean>>;

/** A running stand-in. */
async function startServer(socket: string, options: readonly string[]) {
  const child = spawn('python3', [at('stand-in.py'), socket, ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const closed = once(child, 'close');
  await Promise.race([once(child.stdout, 'data'), closed]);
  return {
    /** Ends it. @returns what it was asked */
    async messages(): Promise<Message[]> {
      child.kill();
      await closed;
      rmSync(socket, { force: true });
      const lines = text.trim().split('\n').slice(1);
      return lines.map((line) => JSON.parse(line) as Message);
    },
  };
}

interface Run {
  readonly options?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** Runs a scenario of the probe on two devices. */
async function run(scenario: string, { options = [], environment = {} }: Run = {}) {
  const sockets = [join(folder, 'a.sock'), join(folder, 'b.sock')] as const;
  const servers = await Promise.all(sockets.map((socket) => startServer(socket, options)));
  const child = spawn(join(folder, 'probe'), [scenario], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      LD_PRELOAD: library,
      IXY_PRELOAD_DEVICES: `0000:00:05.0=${sockets[0]},0000:00:06.0=${sockets[1]}`,
      ...environment,
    },
  });
  const watchdog = setTimeout(() => child.kill('SIGKILL'), 15_000);
  let [text, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    errors += part;
  });
  const [status] = (await once(child, 'close')) as [number | null];
  clearTimeout(watchdog);
  const rows = text.split('\n').filter((line) => line !== '');
  const values = Object.fromEntries(
    rows.map((line) => [line.split(' ')[0], Number(line.split(' ')[1])]),
  );
  const [first = [], second = []] = await Promise.all(servers.map((server) => server.messages()));
  return { status, errors, values, first, second };
}

describe('calls out of order', () => {
  it('get the errno that the kernel gives', async () => {
    expect((await run('order')).values).toEqual({
      version: 0,
      type1v2: 1,
      noiommu: 0,
      'iommu-without-group': EINVAL,
      'map-without-iommu': EINVAL,
      'other-group': -2,
      'group-again': -16,
      status: 1,
      'device-without-container': EINVAL,
      'not-a-container': EINVAL,
      'set-container': 0,
      'status-with-container': 3,
      'device-without-iommu': EINVAL,
      'unknown-iommu': -19,
      'set-iommu': 0,
      'other-device': -19,
      device: 1,
      'unset-while-open': -16,
      'unknown-call': -25,
    });
  });
});

describe('a server', () => {
  it('that has another client makes the device busy', async () => {
    const { values } = await run('device', { options: ['--busy'] });
    expect(values).toEqual({ device: -16, again: -16 });
  });

  it('that refuses a mapping refuses it to the program', async () => {
    const { values } = await run('map', { options: ['--refuse-map', '2'] });
    expect(values).toEqual({ first: 0, second: -28, third: -28 });
  });

  it('that is gone leaves a device of all ones', async () => {
    const { values } = await run('lost', { options: ['--mute', '13'] });
    expect(values).toEqual({ reset: -5, read: 0xffffffff, config: -5 });
  });
});

describe('IXY_PRELOAD_ERRNO', () => {
  it('makes the named call fail the named time', async () => {
    const environment = { IXY_PRELOAD_ERRNO: 'MAP_DMA=ENOMEM@2' };
    const { values } = await run('map', { environment });
    expect(values).toEqual({ first: 0, second: -12, third: 0 });
  });

  it('with a name that is none ends the program before it starts', async () => {
    const environment = { IXY_PRELOAD_ERRNO: 'MAP_DMA=ENOTHING' };
    const { status, errors } = await run('map', { environment });
    expect(status).toBe(2);
    expect(errors).toContain("got 'MAP_DMA=ENOTHING'");
  });
});

describe('a device', () => {
  it('is described as the kernel does, BAR0 as one that can be mapped whole', async () => {
    const { values, first } = await run('describe');
    expect(values).toEqual({
      info: 0,
      flags: 3,
      regions: 9,
      irqs: 5,
      bar0: 0,
      'bar0-flags': 7,
      'bar0-argsz': 32,
      'bar0-size': 0x4000,
      'config-flags': 3,
      'config-is-at-7<<40': 1,
      'region-9': EINVAL,
      vectors: 3,
      'read-ids': 4,
      ids: 1,
      'read-behind': EINVAL,
      'read-across-end': 2,
      'bus-master': 2,
      reset: 0,
      'command-after-reset': 4,
      'read-at-position': 2,
      'position-moved': 1,
      'read-by-copy': 4,
    });
    // The device answers again; COMMAND survives a reset, as config space does in the kernel.
    const reset = first.findIndex((message) => message.reset === true);
    expect(first[reset + 1]).toEqual({ read: 4, region: 7, count: 2 });
    expect(first[reset + 2]).toEqual({ write: 4, region: 7, count: 2, value: 4 });
  });

  it.each([
    ['shared pages', []],
    ['every page trapped', ['--trap-all']],
  ])('has its registers where the program maps them (%s)', async (_, options) => {
    const { values, first } = await run('registers', { options });
    expect(values).toEqual({
      read: 0x12345678,
      'read-byte': 0x56,
      'read-back': 0xcafe,
      or: 0x80,
      'read-after-mprotect': 0x12345678,
      'read-with-signals-blocked': 0x12345678,
      'own-fault': 1,
      'read-after-close': 0x12345678,
      'read-after-unmap': -1,
    });
    const trapped = { write: 0x1018, region: 0, count: 4, value: 511 };
    if (options.length === 0) {
      expect(first).toContainEqual({ shared: 511 });
      expect(first).not.toContainEqual(trapped);
    } else expect(first).toContainEqual(trapped);
  });

  it('stays with the parent when a child closes its copies', async () => {
    expect((await run('children')).values).toEqual({ read: 0x12345678, map: 0 });
  });

  it.each([1, 8])('gets eventfds in messages of up to %i', async (fds) => {
    const { values, first } = await run('interrupts', { options: ['--fds', `${fds}`] });
    expect(values).toEqual({
      'two-of-three': 0,
      signalled: 1,
      other: 0,
      all: 0,
      off: 0,
      request: 0,
    });
    const one = (start: number, count: number, sent: number) =>
      ({ irqs: 0x24, index: 2, start, count, fds: sent }) as const;
    const all = fds === 1 ? [one(0, 1, 1), one(1, 1, 1), one(2, 1, 1)] : [one(0, 3, 3)];
    expect(first.filter((message) => 'irqs' in message)).toEqual([
      one(0, 1, 1),
      one(1, 1, 0),
      one(2, 1, 1),
      ...all,
      { irqs: 0x21, index: 2, start: 0, count: 0, fds: 0 },
    ]);
  });
});

describe('DMA memory', () => {
  const IOVA = 0x1_0000_0000;
  const values = {
    pieces: 64,
    'piece-9': 1,
    overlap: -17,
    cut: EINVAL,
    'unmap-nothing': 0,
    'unmap-10': 10 * 4096,
    'unmap-rest': 54 * 4096,
    heap: 0,
    'heap-word': 42,
    'cut-heap': EINVAL,
    'huge-aligned': 1,
    huge: 0,
    'huge-word': 1,
    'msi-window': EINVAL,
    misaligned: EINVAL,
    'no-memory': -14,
    stack: -14,
  };

  it('mapped in 64 pieces of one file is announced once, and heap becomes shared', async () => {
    const { values: got, first } = await run('dma');
    expect(got).toEqual(values);
    expect(first.filter((message) => 'map' in message || 'unmap' in message)).toEqual([
      { map: IOVA, size: 64 * 4096, flags: 3, fds: 1 },
      { unmap: IOVA, size: 64 * 4096 },
      { map: IOVA, size: 4 * 4096, flags: 3, fds: 1 },
      { map: IOVA + 0x200000, size: 0x200000, flags: 3, fds: 1 },
    ]);
  });

  it('is announced piece by piece where the program asks for exactness', async () => {
    const { values: got, first } = await run('dma', { environment: { IXY_PRELOAD_EXACT: '1' } });
    expect(got).toEqual(values);
    expect(first.filter((message) => 'map' in message && message.size === 4096)).toHaveLength(64);
    expect(first.filter((message) => 'unmap' in message)).toHaveLength(64);
  });

  it('follows version 1 of type1, too, and says where it may lie', async () => {
    expect((await run('iommu')).values).toEqual({
      info: 0,
      'needs-more': 1,
      'info-whole': 0,
      flags: 3,
      'pages-of-4096': 4096,
      capability: 1,
      ranges: 2,
      'before-msi': 0xfedfffff,
      'after-msi': 0xfef00000,
      'info-short': EINVAL,
      four: 0,
      'four-more': 0,
      'unmap-inside': 0,
      'unmap-start': 4 * 4096,
      'unmap-again': 0,
      'map-again': 0,
      'unmap-all': 0,
      unmapped: 5 * 4096,
    });
  });

  it('of a container is told to devices that come later', async () => {
    const { values: got, first, second } = await run('two');
    expect(got).toEqual({ map: 0, second: 1, 'map-both': 0 });
    expect(second).toEqual(first);
    expect(first.map((message) => message.map)).toEqual([IOVA, IOVA + 4096]);
  });
});

describe('the decoder', () => {
  it('does with a trapped page what the processor does with an open one', () => {
    const said = execFileSync(join(folder, 'decode-check'), { encoding: 'utf8' });
    const lines = said.trim().split('\n');
    expect(lines.pop()).toBe('77 forms, 13 refusals, 0 wrong');
    for (const line of lines) {
      expect(line).toMatch(/^movdiri\d+ not run: this processor does not have it$/);
      console.log(line);
    }
  });
});

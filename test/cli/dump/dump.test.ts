// `ixy dump` as a process, on the software 82599.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { parsePcap } from '../../../src/support/pcap/reader.ts';
import { PcapWriter } from '../../../src/support/pcap/writer.ts';
import { childrenOf, exists, killAll, parseLine, run, start, startUnread } from '../run-ixy.ts';

const folder = mkdtempSync(join(tmpdir(), 'ixy-dump-'));
const path = (name: string): string => join(folder, name);
afterEach(killAll);
afterAll(() => rmSync(folder, { recursive: true }));

/** A capture of five frames of different kinds, to be played into the model. */
function capture(): string {
  const file = path('in.pcap');
  const writer = new PcapWriter(file);
  const head = '0209c0000000 020000000001';
  const frames = [
    '0806 0001 0800 0604 0001 020000000001 0a000001 000000000000 0a000002',
    '0800 4500 0020 0000 0000 4011 0000 0a000001 0a000002 0035 a000 000c 0000 01020304',
    '0800 4500 0028 0000 0000 4006 0000 0a000001 0a000002 0050 a000 00000000 00000000 5002 0000 0000 0000',
    '86dd 60000000 0000 3b ff fe800000000000000000000000000001 fe800000000000000000000000000002',
    '88b5 01',
  ];
  for (const [i, hex] of frames.entries()) {
    const bytes = Buffer.from((head + hex).replaceAll(' ', ''), 'hex');
    writer.append(bytes, i, 0);
  }
  writer.close();
  return file;
}

/** stderr without warnings about the machine. */
function complaints(errors: readonly string[]): string[] {
  return errors.filter((line) => line.startsWith('ixy: '));
}

describe('ixy dump refuses with status 2 and one line', () => {
  it.each([
    [['nonsense'], 'expected 0000:03:10.0 (a PCI address)'],
    [['0000:03:10', '--count', '1'], 'a lone FILE has to end in .pcap'],
    [['nonsense', 'x.pcap'], "got 'nonsense'"],
    [['model:0.0', 'a.pcap', 'b.pcap'], 'expected at most 2'],
    [['--count', '0'], '--count: expected an integer from 1'],
    [['--duration', 'x'], '--duration: expected seconds above 0'],
    [['-', '--json'], '--json: expected a FILE other than -'],
    [['03:10.0', '--port0', 'gen'], '--port0: expected model:PORT.VF or no address beside it'],
    [['--port0', 'nonsense'], 'got "nonsense"'],
    [['--write', 'x'], '--write'],
  ])('%j', async (argv, message) => {
    const { status, errors, stdout } = await run('dump', ...argv);
    expect(errors.length).toBe(1);
    expect(errors[0]).toContain(message);
    expect([status, stdout]).toEqual([2, '']);
  });
});

describe('ixy dump fails with status 1 and one line', () => {
  it.each([
    ['a device that is not there', ['vfio-user:/nowhere.sock'], '/nowhere.sock'],
    [
      'a folder that is not there',
      ['/nowhere/x.pcap'],
      'create capture file (/nowhere/x.pcap): ENOENT',
    ],
    ['a folder in place of a file', [folder], 'EISDIR'],
    ['a full disk', ['/dev/full', '--port0', 'gen'], 'write pcap file (/dev/full): ENOSPC'],
  ])('%s', async (_, argv, message) => {
    const { status, errors } = await run('dump', ...argv);
    const said = complaints(errors);
    expect(said.length).toBe(1);
    expect(said[0]).toContain(message);
    expect(status).toBe(1);
  });

  it('a FIFO that nobody reads', async () => {
    execFileSync('mkfifo', [path('unread')]);
    const { status, errors } = await run('dump', path('unread'));
    expect(complaints(errors)[0]).toContain('nobody reads this FIFO');
    expect(status).toBe(1);
  });

  it('and leaves an older capture alone when the device cannot be opened', async () => {
    writeFileSync(path('old.pcap'), 'old');
    expect((await run('dump', 'vfio-user:/nowhere.sock', path('old.pcap'))).status).toBe(1);
    expect(readFileSync(path('old.pcap'), 'utf8')).toBe('old');
  });
});

describe('ixy dump', () => {
  it('writes exactly --count frames, whole and in order, to a file that others can read', async () => {
    const file = path('count.pcap');
    const { status, stdout, errors } = await run(
      'dump',
      file,
      '--count',
      '1000',
      '--port0',
      'gen:size=imix',
    );
    expect([status, stdout]).toEqual([0, '']);
    expect(errors).toContain(`captured 1000 frames to ${file}`);
    const frames = parsePcap(readFileSync(file), file);
    expect(frames.length).toBe(1000);
    const numbers = frames.map(({ data }) => new DataView(data.buffer).getUint32(44, true));
    expect(numbers).toEqual(numbers.map((_, i) => numbers[0] + i));
    expect(new Set(frames.map(({ data }) => data.length))).toEqual(new Set([60, 590, 1514]));
    const nowSeconds = Date.now() / 1000;
    for (const { seconds } of frames) expect(Math.abs(seconds - nowSeconds)).toBeLessThan(600);
    expect(statSync(file).mode & 0o111).toBe(0);
  });

  it.each([
    [['model:0.0', '--port0', `gen:count=3`], 'ports gen:count=3'],
    [['model:1.1', '--port0', 'none'], 'ports none and gen:size=imix,rate=1k,vf=1'],
    [['model:0.1'], 'ports gen:size=imix,rate=1k,vf=1'],
  ])('%j captures from the model that it starts, with its ports as told', async (argv, said) => {
    const { status, stdout, stderr } = await run('dump', ...argv, '--count', '3');
    expect(stdout).toMatch(/^(.* IPv4 198\.18\..*\n){3}$/);
    expect(stderr).toContain(said);
    expect(status).toBe(0);
  });

  it('prints a line a frame', async () => {
    const { status, stdout } = await run('dump', '--count', '5', '--port0', `pcap:${capture()}`);
    const to = '02:00:00:00:00:01 > 02:09:c0:00:00:00';
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.replace(/^\d\d:\d\d:\d\d\.\d{6} /, '')),
    ).toEqual([
      `${to}, length 60: ARP who-has 10.0.0.2 tell 10.0.0.1`,
      `${to}, length 60: IPv4 10.0.0.1.53 > 10.0.0.2.40960: UDP, length 4`,
      `${to}, length 60: IPv4 10.0.0.1.80 > 10.0.0.2.40960: TCP [S]`,
      `${to}, length 60: IPv6 fe80::1 > fe80::2: protocol 59`,
      `${to}, length 60: ethertype 0x88b5`,
    ]);
    expect(status).toBe(0);
  });

  it('writes a capture to standard output with -, and nothing else', async () => {
    const { status, stdout } = await run('dump', '-', '--count', '300', '--port0', 'gen');
    const frames = parsePcap(Buffer.from(stdout, 'latin1'), 'stdout');
    expect([status, frames.length]).toEqual([0, 300]);
  });

  it('writes into a FIFO that somebody reads', async () => {
    execFileSync('mkfifo', [path('read')]);
    const reader = spawn('cat', [path('read')]);
    const chunks: Buffer[] = [];
    reader.stdout.on('data', (data: Buffer) => chunks.push(data));
    const closed = new Promise((resolve) => reader.once('close', resolve));
    // `cat` may not have opened it yet; then there is no reader, which is said.
    for (let ended = await run('dump', path('read'), '--count', '50'); ended.status !== 0; ) {
      expect(complaints(ended.errors)[0]).toContain('nobody reads this FIFO');
      ended = await run('dump', path('read'), '--count', '50');
    }
    await closed;
    expect(parsePcap(Buffer.concat(chunks), 'fifo').length).toBe(50);
  });

  it('prints JSON reports beside a file, with the fields of every command', async () => {
    const { status, stdout } = await run('dump', path('json.pcap'), '--json', '--count', '100');
    const last = parseLine(stdout.trim().split('\n').at(-1) ?? '');
    expect(Object.keys(last)).toEqual(['seconds', 'devices', 'captured', 'ports', 'final']);
    expect([status, last.captured, last.final]).toEqual([0, 100, true]);
    expect((last.devices as { rxPackets: number }[])[0].rxPackets).toBe(100);
  });

  it('counts without printing frames with --json and no file', async () => {
    const { status, stdout } = await run('dump', '--json', '--count', '100');
    for (const line of stdout.trim().split('\n'))
      expect(parseLine(line)).toHaveProperty('captured');
    expect(status).toBe(0);
  });
});

describe('the stamps of ixy dump', () => {
  // The system's clock cannot be set by a test; a Worker of the command takes this one for it.
  const jump =
    'const now = Date.now, from = performance.now(); Date.now = () => now() + (performance.now() - from > 700 ? 3600e3 : 0);';
  const before = process.env.NODE_OPTIONS;
  afterEach(() => {
    if (before === undefined) delete process.env.NODE_OPTIONS;
    else process.env.NODE_OPTIONS = before;
  });

  it('follow the clock when it jumps, which is said', async () => {
    process.env.NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(jump)}`;
    const file = path('jump.pcap');
    const { status, errors } = await run('dump', file, '--duration', '1.5');
    expect(status).toBe(0);
    expect(errors.filter((line) => line.includes('clock jumped'))).toEqual([
      expect.stringMatching(/^warning: the system's clock jumped by \+3[56]\d\d\.\d{3} s; stamps/),
    ]);
    const frames = parsePcap(readFileSync(file), file);
    const [first, last] = [frames[0], frames[frames.length - 1]];
    expect(Math.abs(last.seconds - first.seconds - 3600)).toBeLessThan(10);
    expect(Math.abs(last.seconds - Date.now() / 1000 - 3600)).toBeLessThan(60);
  });
});

describe('ixy dump ends', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)(
    'at %s with a complete file and status 0, leaving no process behind',
    async (signal) => {
      const file = path(`${signal}.pcap`);
      const dump = start('dump', file, '--json');
      await dump.line(/"captured":[1-9]/);
      const children = childrenOf(dump.child.pid);
      expect(children.length).toBe(1);
      dump.child.kill(signal);
      const { status, stdout } = await dump.end();
      const last = parseLine(stdout.trim().split('\n').at(-1) ?? '');
      expect([status, last.final]).toEqual([0, true]);
      expect(parsePcap(readFileSync(file), file).length).toBe(last.captured);
      expect(children.filter(exists)).toEqual([]);
    },
  );

  it('after --duration, also where no frame came', async () => {
    const file = path('empty.pcap');
    const { status } = await run('dump', file, '--duration', '0.2', '--port0', 'none');
    expect([status, statSync(file).size]).toEqual([0, 24]);
  });

  it.each([
    ['lines', []],
    ['a capture', ['-']],
  ])('without complaint when nobody reads its %s any more', async (_, argv) => {
    const dump = start('dump', ...argv);
    await dump.line(/^listening on/);
    const children = childrenOf(dump.child.pid);
    dump.child.stdout?.destroy();
    const { status, errors } = await dump.end();
    expect([status, complaints(errors)]).toEqual([0, []]);
    expect(children.filter(exists)).toEqual([]);
  });

  it('when nobody reads its output any more, even if no frame comes', async () => {
    const dump = start('dump', '--port0', 'none');
    await dump.line(/^listening on/);
    dump.child.stdout?.destroy();
    expect((await dump.end()).status).toBe(0);
  });

  it.each([
    ['lines', []],
    ['a capture', ['-']],
  ])('at SIGINT although the reader of its %s has stopped reading', async (_, argv) => {
    const child = startUnread('dump', ...argv, '--port0', 'gen');
    const closed = new Promise<number | null>((resolve) => child.once('exit', resolve));
    let stderr = '';
    await new Promise<void>((resolve) => {
      child.stderr.on('data', (data: Buffer) => {
        stderr += data.toString();
        if (stderr.includes('listening on')) resolve();
      });
    });
    // What has come stays where it is: the pipe fills up behind it.
    await new Promise<void>((resolve) => {
      child.stdout.once('readable', () => resolve());
    });
    child.kill('SIGINT');
    expect(await closed).toBe(0);
    expect(stderr).toMatch(/captured \d+ frames/);
  });

  it('with status 1 and one line when its model dies', async () => {
    const dump = start('dump', path('dies.pcap'), '--json');
    await dump.line(/"captured":[1-9]/);
    for (const child of childrenOf(dump.child.pid)) process.kill(child, 'SIGKILL');
    const { status, errors } = await dump.end();
    expect([status, complaints(errors).length]).toEqual([1, 1]);
    expect(existsSync(path('dies.pcap'))).toBe(true);
  });
});

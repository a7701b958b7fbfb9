// `ixy pktgen` as a process, on the software 82599.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { parsePcap } from '../../../src/support/pcap/reader.ts';
import { PcapWriter } from '../../../src/support/pcap/writer.ts';
import {
  childrenOf,
  exists,
  killAll,
  modelFolder,
  parseLine,
  type Running,
  run,
  start,
} from '../run-ixy.ts';

const folder = mkdtempSync(join(tmpdir(), 'ixy-pktgen-'));
afterEach(killAll);
afterAll(() => rmSync(folder, { recursive: true }));

interface Report {
  readonly seconds: number;
  readonly final?: boolean;
  readonly devices: readonly Record<string, unknown>[];
  readonly generator: Record<string, number | null>;
  readonly ports: readonly Record<string, number>[];
}

const PEER = [0x02, 0x09, 0xc0, 0x00, 0x01, 0x00];

function report(line: string): Report {
  return parseLine(line) as unknown as Report;
}

/** The last line of a run with --json, its status and stderr checked. */
async function finalOf(...argv: string[]): Promise<Report> {
  const { status, stdout, stderr } = await run('pktgen', '--json', ...argv);
  // What a busy machine is warned of.
  expect(stderr.replace(/^warning: (.* will spin on |--rate: ).*\n/gm, '')).toBe('');
  expect(status).toBe(0);
  const last = report(stdout.trim().split('\n').at(-1) ?? '');
  expect(last.final).toBe(true);
  return last;
}

/** A capture of frames to `destination`, 100 us apart. */
function capture(name: string, lengths: readonly number[], destination = PEER): string {
  const path = join(folder, name);
  const writer = new PcapWriter(path, { nanosecond: true });
  for (const [i, length] of lengths.entries()) {
    const bytes = new Uint8Array(length).fill(i & 0xff);
    bytes.set(destination, 0);
    writer.append(bytes, 1000, i * 100_000);
  }
  writer.close();
  return path;
}

describe('ixy pktgen refuses with status 2 and one line', () => {
  it.each([
    [['model:0.0', 'model:1.0'], 'expected at most 1'],
    [['nonsense'], "got 'nonsense'"],
    [['--rx', 'model:1.0'], '--rx: expected the address of the sending device before it, got none'],
    [['03:10.0', '--rx', '0000:03:10.0'], '--rx: expected another device than 03:10.0'],
    [['--size', '63'], "--size: expected bytes with CRC from 64 to 9728, or imix, got '63'"],
    [['--size', '9729'], "got '9729'"],
    [['--rate', '0'], '--rate: expected frames a second above 0 and up to 1G'],
    [['--rate', '5m'], "got '5m'"],
    [['--rate', '2G'], "got '2G'"],
    [['--strict'], '--strict: expected --rate beside it, got none'],
    [['--flows', '16385'], "--flows: expected an integer from 1 to 16384, got '16385'"],
    [['--count', '0'], '--count: expected an integer from 1'],
    [['--count', '1e3'], "got '1e3'"],
    [['--duration', '0'], '--duration: expected seconds above 0'],
    [['--batch', '257'], "--batch: expected an integer from 1 to 256, got '257'"],
    [['--dst', '01:00:5e:00:00:01'], '--dst: expected a unicast MAC'],
    [['--dst', '02:00'], '--dst: expected a MAC'],
    [['--replay', 'x.pcap', '--flows', '2'], '--flows: expected no --replay beside it'],
    [['--replay', 'x.pcap', '--size', 'imix'], '--size: expected the longest frame to play'],
    [['--speed', '9'], '--speed'],
  ])('%j', async (argv, message) => {
    const { status, errors, stdout } = await run('pktgen', ...argv);
    expect(errors.length).toBe(1);
    expect(errors[0]).toContain(message);
    expect([status, stdout]).toEqual([2, '']);
  });
});

describe('ixy pktgen fails with status 1 and one line', () => {
  const garbage = join(folder, 'garbage.pcap');
  writeFileSync(garbage, 'not a capture at all');
  it.each([
    [['--replay', join(folder, 'none.pcap')], 'none.pcap): ENOENT'],
    [['--replay', garbage], 'this is not a pcap file'],
    [['vfio-user:/nowhere.sock', '--dst', '02:00:00:00:00:01'], '/nowhere.sock'],
  ])('%j', async (argv, message) => {
    const { status, errors, stdout } = await run('pktgen', ...argv);
    const lines = errors.filter((line) => !line.startsWith('warning: '));
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain(message);
    expect([status, stdout]).toEqual([1, '']);
  });

  it('a capture that ends inside a record: what came before is sent and reported', async () => {
    const path = capture('cut.pcap', [60, 60, 60]);
    writeFileSync(path, readFileSync(path).subarray(0, -10));
    const { status, stdout, stderr } = await run('pktgen', '--json', '--replay', path);
    expect(stderr).toContain('the file is truncated');
    expect(report(stdout.trim().split('\n').at(-1) ?? '').generator.sent).toBe(2);
    expect(status).toBe(1);
  });
});

describe('ixy pktgen on its own model', () => {
  it('sends exactly --count frames and receives each once, intact', async () => {
    const { devices, generator, ports } = await finalOf('--count', '10000');
    expect(generator).toEqual({
      sent: 10_000,
      received: 10_000,
      gaps: 0,
      duplicates: 0,
      corrupt: 0,
    });
    expect(
      devices.map(({ device, txPackets, rxPackets }) => [device, txPackets, rxPackets]),
    ).toEqual([
      ['model:0.0', 10_000, 0],
      ['model:1.0', 0, 10_000],
    ]);
    expect(devices[0]).toEqual({
      device: 'model:0.0',
      link: true,
      rxPackets: 0,
      rxBytes: 0,
      txPackets: 10_000,
      txBytes: 600_000,
      rxMpps: 0,
      txMpps: expect.any(Number),
      txDropped: 0,
      rxMissed: null,
      restarts: 0,
      lost: 0,
    });
    expect(ports.map(({ port, delivered, spoofed }) => [port, delivered, spoofed])).toEqual([
      [0, 0, 0],
      [1, 10_000, 0],
    ]);
  });

  it.each([
    [
      'mixed sizes in many flows',
      3000,
      ['--size', 'imix', '--flows', '1000', '--batch', '17'],
      358.08,
    ],
    // No more than the cable of the model holds: 512 KiB.
    ['jumbo frames', 50, ['--size', '9000'], 8996],
    ['single frames', 3000, ['--batch', '1', '--size', '65'], 61],
  ])('%s come back in sequence', async (_, count, argv, meanBytes) => {
    const { devices, generator } = await finalOf('--count', String(count), ...argv);
    expect(generator).toEqual({ sent: count, received: count, gaps: 0, duplicates: 0, corrupt: 0 });
    expect(Math.abs((devices[0].txBytes as number) / count - meanBytes)).toBeLessThan(1);
  });

  it('holds a rate down, and loses nothing over it', async () => {
    const { seconds, generator } = await finalOf('--rate', '1000', '--count', '500');
    expect(generator).toEqual({ sent: 500, received: 500, gaps: 0, duplicates: 0, corrupt: 0 });
    // The 500th frame goes 499 ms after the first; nothing says how late the report of it may come.
    expect(seconds).toBeGreaterThan(0.45);
  });

  it('sends between VFs of one port through its switch', async () => {
    const { generator } = await finalOf('model:1.0', '--rx', 'model:1.1', '--count', '500');
    expect(generator).toEqual({ sent: 500, received: 500, gaps: 0, duplicates: 0, corrupt: 0 });
  });

  it('says what it does in lines without --json', async () => {
    const { status, stdout } = await run('pktgen', '--count', '100');
    expect(stdout).toContain('no address given: started a software 82599');
    expect(stdout).toContain('model:0.0 (02:09:c0:00:00:00) -> model:1.0 (02:09:c0:00:01:00)');
    expect(stdout).toContain('generator: sent 100, received 100; 0 gaps, 0 duplicates, 0 corrupt');
    expect(status).toBe(0);
  });

  it('plays a capture once, and says what it left out', async () => {
    const path = capture('mixed.pcap', [60, 1514, 200, 1515, 14]);
    const { devices, generator } = await finalOf('--replay', path);
    expect(generator).toEqual({
      sent: 4,
      received: 4,
      gaps: null,
      duplicates: null,
      corrupt: null,
      skipped: 1,
    });
    expect(devices[1].rxBytes).toBe(60 + 1514 + 200 + 60);
  });

  it('plays the first --count frames of a capture, at --rate, to --dst', async () => {
    const path = capture('many.pcap', new Array(300).fill(60), [2, 2, 2, 2, 2, 2]);
    const argv = ['--count', '200', '--rate', '100k', '--dst', '02:09:c0:00:01:00'];
    const { generator } = await finalOf('--replay', path, ...argv);
    expect([generator.sent, generator.received]).toEqual([200, 200]);
  });
});

/** A model in another process; its sockets are in `folder`. */
async function serve(
  name: string,
  ...ports: string[]
): Promise<{ model: Running; socket: (port: number) => string }> {
  const dir = join(folder, name);
  const specs = ports.flatMap((spec, i) => [`--port${i}`, spec]);
  const model = start('model', '--dir', dir, '--ports', String(ports.length), '--json', ...specs);
  await model.line(/"ready":true/);
  return { model, socket: (port) => `vfio-user:${join(dir, `p${port}v0.sock`)}` };
}

describe('ixy pktgen on a model of another process', () => {
  it("sends what the sink of a gen port accepts, and does not count that port's frames", async () => {
    const { model, socket } = await serve('gen', 'gen:rate=2k');
    const { status, stdout, errors } = await run(
      'pktgen',
      socket(0),
      '--json',
      '--count',
      '2000',
      '--flows',
      '3',
      '--rate',
      '20k',
    );
    expect(errors).toContainEqual(
      expect.stringMatching(/^warning: no --dst MAC: frames go to ff:ff:ff:ff:ff:ff/),
    );
    const last = report(stdout.trim().split('\n').at(-1) ?? '');
    expect(last.generator).toEqual({ sent: 2000, received: 0, gaps: 0, duplicates: 0, corrupt: 0 });
    expect(last.devices[0].rxPackets).toBeGreaterThan(0);
    expect(last.ports).toBe(undefined);
    expect(status).toBe(0);
    model.child.kill('SIGINT');
    const [row] = report((await model.end()).stdout.trim().split('\n').at(-1) ?? '').ports;
    expect([row.sinkReceived, row.sinkGaps, row.sinkDuplicates, row.sinkCorrupt]).toEqual([
      2000, 0, 0, 0,
    ]);
  });

  it('plays frames byte for byte but the source MAC, as a dump on the other side shows', async () => {
    const { model, socket } = await serve('cable', 'cable:0', 'cable:0');
    const input = capture('in.pcap', [60, 61, 590, 1514, 64]);
    const output = join(folder, 'out.pcap');
    const dump = start('dump', socket(1), output, '--count', '5');
    await dump.line(/^listening on/);
    expect((await run('pktgen', socket(0), '--replay', input)).status).toBe(0);
    expect((await dump.end()).status).toBe(0);
    const sent = parsePcap(readFileSync(input), input).map(({ data }) => [...data]);
    const got = parsePcap(readFileSync(output), output).map(({ data }) => [...data]);
    for (const bytes of sent) bytes.splice(6, 6, 0x02, 0x09, 0xc0, 0x00, 0x00, 0x00);
    expect(got).toEqual(sent);
    model.child.kill('SIGINT');
    expect((await model.end()).status).toBe(0);
  });
});

describe('ixy pktgen ends', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)(
    'at %s with the final report and status 0, leaving no process and no socket',
    async (signal) => {
      const generator = start('pktgen', '--json');
      await generator.line(/"generator"/);
      const children = childrenOf(generator.child.pid);
      expect(children.length).toBe(1);
      const sockets = children.map(modelFolder);
      expect(sockets.map((dir) => existsSync(dir))).toEqual([true]);
      generator.child.kill(signal);
      const { status, stdout } = await generator.end();
      const last = report(stdout.trim().split('\n').at(-1) ?? '');
      expect([status, last.final]).toEqual([0, true]);
      expect(last.generator.sent).toBeGreaterThan(0);
      expect(last.generator.gaps).toBe(0);
      expect(children.filter(exists)).toEqual([]);
      expect(sockets.map((dir) => existsSync(dir))).toEqual([false]);
    },
  );

  it('by itself after --count where nothing comes back', async () => {
    const { model, socket } = await serve('quiet', 'none', 'cable:0', 'cable:0');
    const generator = start(
      'pktgen',
      socket(1),
      '--json',
      '--count',
      '10',
      '--dst',
      '02:00:00:00:00:09',
    );
    const { status, stdout } = await generator.end();
    expect(report(stdout.trim().split('\n').at(-1) ?? '').generator).toMatchObject({
      sent: 10,
      received: 0,
    });
    expect(status).toBe(0);
    model.child.kill('SIGINT');
    await model.end();
  });

  it('with a verdict that adds up although its model has no CPU when the end comes', async () => {
    const generator = start('pktgen', '--json');
    await generator.line(/"generator":{"sent":[1-9]/);
    const [model] = childrenOf(generator.child.pid);
    process.kill(model, 'SIGSTOP');
    // The rings fill up.
    await new Promise((resolve) => setTimeout(resolve, 50));
    generator.child.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 500));
    process.kill(model, 'SIGCONT');
    const { stdout, status } = await generator.end();
    const last = report(stdout.trim().split('\n').at(-1) ?? '');
    const { sent, received } = last.generator as { sent: number; received: number };
    // A model that stood still may lose what comes at once afterwards, and then says so.
    const lost = last.ports[1].missedNoDescriptor;
    expect([received, last.ports[1].delivered]).toEqual([sent - lost, sent - lost]);
    expect(last.devices.map((row) => row.txPackets)).toEqual([sent, 0]);
    expect(status).toBe(0);
  });

  it('with a rate that it did not reach in its verdict, and with status 1 under --strict', async () => {
    const argv = ['pktgen', '--rate', '900M', '--duration', '0.3'];
    const pattern = /--rate: expected 900 Mpps, got \d[\d.]* [kM]?pps; the device or this CPU/;
    const plain = await run(...argv);
    expect(plain.errors.at(-1)).toMatch(pattern);
    expect(plain.errors.at(-1)).toMatch(/^warning: /);
    expect(plain.status).toBe(0);
    const strict = await run(...argv, '--strict');
    expect(strict.errors.at(-1)).toMatch(pattern);
    expect(strict.errors.at(-1)).toMatch(/^ixy: /);
    expect(strict.status).toBe(1);
  });

  it('with status 0 under --strict where it sent as it was asked to', async () => {
    await finalOf('--rate', '100', '--count', '20', '--strict');
  });

  it('after --duration', async () => {
    const { seconds, generator } = await finalOf('--duration', '0.3', '--rate', '10k');
    expect(seconds).toBeGreaterThan(0.2);
    expect([generator.gaps, generator.corrupt]).toEqual([0, 0]);
  });

  it('when nobody reads its output any more, with status 0 and no complaint', async () => {
    const generator = start('pktgen', '--rate', '1k');
    await generator.line(/model:0.0 .* -> model:1.0/);
    const children = childrenOf(generator.child.pid);
    generator.child.stdout?.destroy();
    const { status, errors } = await generator.end();
    expect(errors.filter((line) => !line.startsWith('warning: '))).toEqual([]);
    expect(status).toBe(0);
    expect(children.filter(exists)).toEqual([]);
  });

  it('with status 1 and one line when its model dies, printing what it counted', async () => {
    const generator = start('pktgen', '--json', '--rate', '1k');
    await generator.line(/"generator"/);
    for (const child of childrenOf(generator.child.pid)) process.kill(child, 'SIGKILL');
    const { status, stdout, errors } = await generator.end();
    expect(errors.filter((line) => !line.startsWith('warning: ')).length).toBe(1);
    expect(report(stdout.trim().split('\n').at(-1) ?? '').final).toBe(true);
    expect(status).toBe(1);
  });
});

// What `ixy pktgen --replay` and the pcap: ports of `ixy model` read from: files, FIFOs, pipes and standard input.

import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { CAPTURES } from '../../support/captures.ts';
import { childrenOf, exists, killAll, parseLine, run, start } from '../run-ixy.ts';

const MAIN = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
/** MAC of the VF at the other end of the cable. */
const DST = '02:09:c0:00:01:00';
const folder = mkdtempSync(join(tmpdir(), 'ixy-input-'));
const path = (name: string): string => join(folder, name);
afterEach(killAll);
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: keyof typeof CAPTURES): string => {
  writeFileSync(path(`${name}.pcap`), CAPTURES[name]);
  return path(`${name}.pcap`);
};

interface Replayed {
  readonly devices: readonly { readonly rxPackets: number; readonly rxBytes: number }[];
  readonly generator: { readonly sent: number; readonly skipped: number };
}

const lastLine = (stdout: string): Replayed =>
  parseLine(stdout.trim().split('\n').at(-1) ?? '') as unknown as Replayed;

async function replay(...argv: string[]): Promise<Replayed> {
  const { status, stdout, stderr } = await run(
    'pktgen',
    '--json',
    '--dst',
    DST,
    '--replay',
    ...argv,
  );
  expect([status, stderr]).toEqual([0, '']);
  return lastLine(stdout);
}

/** Runs `ixy` from a shell. */
function shell(script: string): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn('bash', ['-c', script], {
    env: { ...process.env, NODE: process.execPath, MAIN, DST, FILE: file('plain') },
  });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (data: Buffer) => {
    text.stdout += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    text.stderr += data.toString();
  });
  return new Promise((resolve) => child.once('close', (status) => resolve({ status, ...text })));
}

describe('a capture is read from', () => {
  it.each([
    [
      'standard input that is a pipe, as -',
      'cat $FILE | $NODE $MAIN pktgen --json --dst $DST --replay -',
    ],
    [
      'standard input that is a file, as -',
      '$NODE $MAIN pktgen --json --dst $DST --replay - < $FILE',
    ],
    ['/dev/stdin', 'cat $FILE | $NODE $MAIN pktgen --json --dst $DST --replay /dev/stdin'],
    ['a command', '$NODE $MAIN pktgen --json --dst $DST --replay <(cat $FILE)'],
    [
      'a pipe whose writer takes its time',
      '(head -c 10 $FILE; sleep 0.3; tail -c +11 $FILE | head -c 100; sleep 0.3; tail -c +111 $FILE) | $NODE $MAIN pktgen --json --dst $DST --replay -',
    ],
  ])('%s', async (_, script) => {
    const { status, stdout, stderr } = await shell(script);
    expect([status, stderr]).toEqual([0, '']);
    expect(lastLine(stdout).generator).toMatchObject({ sent: 10, skipped: 0 });
  });

  it.each([
    ['a command', '--port0 pcap:<(cat $FILE)'],
    ['standard input', '--port0 pcap:- < $FILE'],
    ['/dev/stdin', '--port0 pcap:/dev/stdin < $FILE'],
  ])("%s by a command's own model", async (_, argv) => {
    const { status, stdout } = await shell(`$NODE $MAIN dump --count 10 --duration 5 ${argv}`);
    expect([status, stdout.trim().split('\n').length]).toEqual([0, 10]);
  });
});

describe('a replay that waits for its writer', () => {
  const fifo = path('fifo');
  execFileSync('mkfifo', [fifo]);

  it.each([['SIGINT'], ['SIGTERM']] as const)(
    'ends at %s within a second, with the final report, and so does its model',
    async (signal) => {
      const generator = start('pktgen', '--json', '--replay', fifo);
      await generator.line(/"generator"/);
      const children = childrenOf(generator.child.pid);
      expect(children.length).toBe(1);
      const startMs = performance.now();
      generator.child.kill(signal);
      const { status, stdout } = await generator.end();
      expect(performance.now() - startMs).toBeLessThan(1000);
      expect([status, lastLine(stdout)]).toMatchObject([
        0,
        { final: true, generator: { sent: 0 } },
      ]);
      expect(children.filter(exists)).toEqual([]);
    },
  );

  it('ends after --duration', async () => {
    const { generator } = await replay(fifo, '--duration', '0.3');
    expect(generator.sent).toBe(0);
  });

  it('ends at SIGINT when the writer stops in the middle of a frame', async () => {
    const writer = openSync(fifo, 'r+');
    writeFileSync(writer, CAPTURES.plain.subarray(0, 200));
    const generator = start('pktgen', '--json', '--interval', '0.1', '--replay', fifo);
    await generator.line(/"sent":2/);
    generator.child.kill('SIGINT');
    const { status, stdout } = await generator.end();
    closeSync(writer);
    expect([status, lastLine(stdout).generator.sent]).toEqual([0, 2]);
  });

  it('and a model whose port waits for its writer ends at SIGTERM', async () => {
    const model = start('model', '--dir', path('model'), '--port0', `pcap:${fifo}`);
    await model.line(/^ready/);
    model.child.kill('SIGTERM');
    expect((await model.end()).status).toBe(0);
  });
});

describe('one rule holds for --replay', () => {
  it.each([
    ['caplong', 'cut to the length on the wire', 11, 785 + 645],
    ['snap', 'played as captured', 10, 640],
    ['modified', 'read like any other', 10, 645],
  ] as const)('%s.pcap is %s', async (name, _, packets, bytes) => {
    const { generator, devices } = await replay(file(name));
    expect(generator).toMatchObject({ sent: packets, skipped: 0 });
    expect(devices[1]).toMatchObject({ rxPackets: packets, rxBytes: bytes });
  });

  it('snap.pcap is filled up with --pad', async () => {
    expect((await replay(file('snap'), '--pad')).devices[1].rxBytes).toBe(10_000);
  });

  it('vlan1518.pcap is played: the 4 bytes of a tag are free', async () => {
    expect((await replay(file('vlan1518'))).generator).toMatchObject({ sent: 10, skipped: 0 });
  });

  it('a capture of no frames says so', async () => {
    const { status, stderr } = await run('pktgen', '--json', '--replay', file('none'));
    expect([status, stderr]).toEqual([
      1,
      `ixy: pcap file ${path('none.pcap')}: expected frames to play, got none; capture again\n`,
    ]);
  });
});

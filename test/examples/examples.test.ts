import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { parsePcap } from '../../src/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'ixy-examples-'));
afterAll(() => rmSync(folder, { recursive: true }));

function run(
  name: string,
  ...args: string[]
): { status: number | null; stdout: string; stderr: string } {
  const program = fileURLToPath(new URL(`../../dist/examples/${name}.js`, import.meta.url));
  return spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', timeout: 60_000 });
}

/** Independent of the examples' own sums: ones-complement over bytes, as RFC 1071 words it. */
function checksumHolds(bytes: readonly number[]): boolean {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] * 256 + (bytes[i + 1] ?? 0);
  return sum % 0xffff === 0 && sum > 0;
}

describe('examples', () => {
  it.each([
    ['l2fwd', ['model:0.0'], 'expected two addresses or none, got 1'],
    ['l2fwd', ['nonsense', 'model:1.0'], "got 'nonsense'"],
    ['two-workers', ['model:0.0'], 'expected two addresses or none, got 1'],
    ['pktgen', ['vfio-user:/nowhere.sock'], '/nowhere.sock'],
    ['pcap', [], 'expected a file to write'],
    ['pcap', ['/nowhere/x.pcap'], '/nowhere/x.pcap'],
  ])('%s %j fails with one line that says %s', (name, args, message) => {
    const { status, stderr } = run(name, ...args);
    expect(stderr).toContain(message);
    expect(stderr.trim().split('\n').length).toBe(1);
    expect(status).toBe(1);
  });

  it('l2fwd forwards between the ports of its own model without losing a frame', () => {
    const { status, stdout, stderr } = run('l2fwd', '1');
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toMatch(/model:0.0 \(02:09:c0:00:00:00\) <-> model:1.0 \(02:09:c0:00:01:00\)/);
    const rows = [...stdout.matchAll(/│ [01] +│ ([01]) +│ 0 +│ ([\d │]+)│\n/g)].map((match) =>
      match[2].split('│').map(Number),
    );
    expect(rows.length).toBe(2);
    for (const [
      offered,
      delivered,
      ,
      ,
      spoofed,
      filtered,
      faults,
      received,
      gaps,
      twice,
      corrupt,
    ] of rows) {
      expect(offered).toBeGreaterThan(10_000);
      expect(delivered).toBe(offered);
      expect(received).toBeGreaterThan(offered - 2048);
      expect([spoofed, filtered, faults, gaps, twice, corrupt]).toEqual([0, 0, 0, 0, 0, 0]);
    }
  });

  it('two-workers forwards both ways, a thread each', () => {
    const { status, stdout, stderr } = run('two-workers', '2');
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const [forth, back] = [...stdout.matchAll(/: (\d+) frames/g)].map(([, n]) => Number(n));
    expect(forth).toBeGreaterThan(1000);
    expect(back).toBeGreaterThan(1000);
    const rows = [...stdout.matchAll(/│ [01] +│ ([01]) +│ 0 +│ ([\d │]+)│\n/g)].map((match) =>
      match[2].split('│').map(Number),
    );
    expect(rows.length).toBe(2);
    for (const row of rows) {
      const [offered, delivered, , , spoofed, filtered, faults, received, , twice, corrupt] = row;
      expect(delivered).toBe(offered);
      // What the rings, two of 512 each way, hold at the end; what a full tx ring did not take was dropped.
      expect(received).toBeGreaterThan(0);
      expect([spoofed, filtered, faults, twice, corrupt]).toEqual([0, 0, 0, 0, 0]);
    }
  });

  it('pktgen gets every frame back in sequence', () => {
    const { status, stdout } = run('pktgen', '1');
    expect(status).toBe(0);
    const sent = Number(/sent (\d+) frames/.exec(stdout)?.[1]);
    const [, received, wrong] = /received (\d+), (\d+) out of sequence/.exec(stdout) ?? [];
    expect(sent).toBeGreaterThan(10_000);
    expect(Number(received)).toBeGreaterThan(sent - 2048);
    expect(wrong).toBe('0');
  });

  it('pcap writes a capture whose frames have right IPv4 and UDP checksums', () => {
    const file = join(folder, 'out.pcap');
    const { status, stdout } = run('pcap', file, '200');
    expect(status).toBe(0);
    expect(stdout).toContain('wrote 200 frames');
    const frames = parsePcap(readFileSync(file), file);
    expect(frames.length).toBe(200);
    for (const { data } of frames) {
      const bytes = [...data];
      expect(bytes.slice(0, 6)).toEqual([0x02, 0x09, 0xc0, 0, 0, 0]);
      expect(bytes.slice(12, 14)).toEqual([0x08, 0x00]);
      expect(checksumHolds(bytes.slice(14, 34))).toBe(true);
      const udp = bytes.slice(34);
      const pseudo = [...bytes.slice(26, 34), 0, 17, udp.length >> 8, udp.length & 0xff];
      expect(checksumHolds([...pseudo, ...udp])).toBe(true);
    }
  });
});

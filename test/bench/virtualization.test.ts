import { describe, expect, it } from 'vitest';
import { makeFrame, receiverOf, vfMac } from '../../bench/virtualization/frame.ts';
import type { VirtualizationRow } from '../../bench/virtualization/rows.ts';
import { runBench } from './run-bench.ts';

interface Result {
  bench: string;
  silicon: string;
  machine: { node: string };
  rows: VirtualizationRow[];
}

it('bench virtualization delivers in both ways and reports what each costs', async () => {
  const argv = ['--quick', '--mpps', '0.05'];
  const { status, stdout, stderr, json, left, alive } = await runBench('virtualization', argv);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const { bench, silicon, machine, rows } = json as Result;
  expect(bench).toBe('virtualization');
  expect(silicon).toContain('No silicon');
  expect(stdout).toContain('stands for the NIC');
  expect(machine.node).toBe(process.version);
  expect(rows.map(({ way, receivers, size }) => [way, receivers, size])).toEqual([
    ['switch', 2, '64'],
    ['assigned', 2, '64'],
  ]);
  for (const row of rows) {
    expect(row.offered).toBeGreaterThan(0);
    expect(row.perReceiver).toHaveLength(2);
    expect(Math.min(...row.perReceiver)).toBeGreaterThan(0);
    expect(row.perReceiver.reduce((a, b) => a + b, 0)).toBe(row.received);
    expect(row.lost).toBeGreaterThanOrEqual(0);
    expect(row.latency?.samples).toBe(row.received);
    expect(row.modelNsPerFrame).toBeGreaterThan(0);
    expect(row.receiverCpu.nsPerFrame).toBeGreaterThan(0);
    const { switchCpu, receiverCpu, totalCpu } = row;
    expect(switchCpu === null).toBe(row.way === 'assigned');
    const sum = receiverCpu.nsPerFrame + (switchCpu?.nsPerFrame ?? 0);
    expect(Math.abs(totalCpu.nsPerFrame - sum)).toBeLessThan(0.2);
  }
  expect({ left, alive }).toEqual({ left: [], alive: [] });
}, 120_000);

it('bench virtualization ends on ctrl-C and leaves no process and no folder', async () => {
  const argv = ['--receivers', '2', '--sizes', '64', '--mpps', '0.05'];
  const options = { interruptAt: /No silicon/, interruptAfterMs: 2500 };
  const { status, left, alive } = await runBench('virtualization', argv, options);
  expect(status).toBe(130);
  expect({ left, alive }).toEqual({ left: [], alive: [] });
}, 60_000);

it.each([
  [['--receivers', '0'], "--receivers: expected numbers from 1 to 8, got '0'"],
  [['--mpps', 'fast'], "--mpps: expected a rate above 0 and up to 100, got 'fast'"],
  [['--sizes', 'imix'], '--sizes: expected sizes in bytes, got imix'],
])('bench virtualization refuses %j', async (argv, message) => {
  const { status, stderr } = await runBench('virtualization', argv);
  expect(status).toBe(2);
  expect(stderr).toBe(`bench virtualization: ${message}\n`);
});

describe('its parts', () => {
  it('find the receiver in a frame, whatever its size', () => {
    for (const size of [64, 1518]) {
      const frame = makeFrame(size, vfMac(3), 3);
      expect(frame).toHaveLength(size - 4);
      expect([...frame.subarray(0, 6)]).toEqual([0x02, 0x09, 0xc0, 0x00, 0x00, 3]);
      expect(receiverOf(new DataView(frame.buffer).getInt32(32, true))).toBe(3);
      expect((frame[16] << 8) | frame[17]).toBe(size - 18);
    }
  });
});

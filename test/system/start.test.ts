// The forwarder on a model that it starts itself. `npm start`, as the README gives it: what it
// prints is JSON and nothing else, and every frame that the ports offered is accounted for.

import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DeviceReport } from '../../src/cli/run/report.ts';
import type { NicCounters } from '../../src/index.ts';
import type { LatencyRow } from '../../src/model/ports/latency.ts';
import { Processes } from './processes.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Descriptors of a ring unless told otherwise; one always stays empty. */
const RING = 512;
/** Frames that the forwarder has received and not yet handed on: a batch. */
const BATCH = 32;

const DEVICE_FIELDS = [
  ...['device', 'link', 'rxPackets', 'rxBytes', 'txPackets', 'txBytes'],
  ...['rxMpps', 'txMpps', 'txDropped', 'rxMissed', 'restarts', 'lost'],
];
const PORT_FIELDS = [
  ...['port', 'vf', 'offered', 'delivered', 'missedNoDescriptor', 'missedDisabled', 'spoofed'],
  ...['filtered', 'iommuFaults', 'sinkReceived', 'sinkGaps', 'sinkDuplicates', 'sinkCorrupt'],
  ...['skipped', 'unwritten'],
];

interface Report {
  readonly seconds: number;
  readonly devices: readonly DeviceReport[];
  readonly ports: readonly NicCounters[];
  readonly final?: boolean;
}

let processes: Processes;

beforeEach(() => {
  processes = new Processes();
});
afterEach(() => processes.close());

describe('npm start -- --duration 3 --json', () => {
  test('prints JSON lines with the fields of the contract, the last one final, and loses count of no frame', async () => {
    const argv = ['start', '--silent', '--', '--duration', '3', '--json'];
    const program = processes.start('npm', argv, { cwd: ROOT });
    expect((await program.end()).status).toBe(0);
    const reports = program.lines.map((line) => JSON.parse(line) as Report);
    expect(reports.length).toBeGreaterThanOrEqual(2);
    for (const [i, report] of reports.entries()) {
      const last = i === reports.length - 1;
      // Those of the model itself come with its first report.
      const keys = Object.keys(report).filter((key) => key !== 'idle' && key !== 'latency');
      expect(keys).toEqual([...['seconds', 'devices', 'ports'], ...(last ? ['final'] : [])]);
      if (last) expect(report).toMatchObject({ idle: expect.any(Number), latency: [] });
      for (const device of report.devices) expect(Object.keys(device)).toEqual(DEVICE_FIELDS);
      for (const port of report.ports) expect(Object.keys(port)).toEqual(PORT_FIELDS);
    }
    const { seconds, devices, ports, final } = reports[reports.length - 1];
    expect(final).toBe(true);
    expect(seconds).toBeGreaterThan(2.9);
    expect(devices.map(({ device }) => device)).toEqual(['model:0.0', 'model:1.0']);
    expect(ports.map(({ port, vf }) => [port, vf])).toEqual([
      [0, 0],
      [1, 0],
    ]);
    for (const here of [0, 1]) {
      // What port `here` offers arrives on its VF and leaves through the other device and port.
      const there = 1 - here;
      const { offered, delivered } = ports[here];
      const { sinkReceived } = ports[there];
      const { txDropped, txPackets } = devices[there];
      expect(devices[here]).toMatchObject({ link: true, rxMissed: null });
      expect(ports[here]).toMatchObject({
        ...{ missedNoDescriptor: 0, missedDisabled: 0, spoofed: 0, filtered: 0, iommuFaults: 0 },
        ...{ sinkDuplicates: 0, sinkCorrupt: 0 },
      });
      expect(delivered).toBe(offered);
      expect(offered).toBeGreaterThan(1000);
      const inRxRing = delivered - devices[here].rxPackets;
      const inForwarder = devices[here].rxPackets - txPackets - txDropped;
      const inTxRing = txPackets - sinkReceived;
      expect(inRxRing).toBeGreaterThanOrEqual(0);
      expect(inRxRing).toBeLessThan(RING);
      expect(inForwarder).toBeGreaterThanOrEqual(0);
      expect(inForwarder).toBeLessThanOrEqual(BATCH);
      expect(inTxRing).toBeGreaterThanOrEqual(0);
      expect(inTxRing).toBeLessThan(RING);
      expect(ports[there].sinkGaps).toBeLessThanOrEqual(txDropped);
    }
  });
});

describe('ixy l2fwd --interval 0', () => {
  test('reports once, at the end, and latency within the window only', async () => {
    const spec = 'gen:rate=10k,latency=1,window=0.5-1';
    const argv = ['l2fwd', '--port0', spec, '--port1', spec, '--duration', '2', '--interval', '0'];
    const program = processes.ixy(...argv, '--json');
    expect((await program.end()).status).toBe(0);
    expect(program.lines).toHaveLength(1);
    const { final, latency } = program.lastJson<Report & { latency: LatencyRow[] }>();
    expect(final).toBe(true);
    expect(latency.map(({ port }) => port)).toEqual([0, 1]);
    for (const { stamped, samples } of latency) {
      // Half a second at 10,000 frames a second, unless the machine stood still.
      expect(stamped).toBeGreaterThan(100);
      expect(stamped).toBeLessThanOrEqual(5010);
      expect(samples).toBeGreaterThan(0);
      expect(samples).toBeLessThanOrEqual(stamped);
    }
  });
});

describe('ixy l2fwd --rx-ring 4096 --tx-ring 64 --batch 256', () => {
  test('forwards, and loses nothing: what the small ring does not take waits', async () => {
    const argv = ['--rx-ring', '4096', '--tx-ring', '64', '--batch', '256', '--duration', '1'];
    // After 100 ms without room frames are given up, as they are where a loaded machine takes the model's CPU away for
    // so long. A forwarder that does not wait loses some in every run.
    for (let attempt = 1; ; attempt++) {
      const program = processes.ixy('l2fwd', ...argv, '--json');
      expect((await program.end()).status).toBe(0);
      const { devices, ports } = program.lastJson<Report>();
      for (const { rxPackets } of devices) expect(rxPackets).toBeGreaterThan(1000);
      if (attempt < 3 && devices.some(({ txDropped }) => txDropped > 0)) continue;
      for (const { txDropped } of devices) expect(txDropped).toBe(0);
      for (const row of ports) expect(row).toMatchObject({ sinkGaps: 0, sinkCorrupt: 0 });
      return;
    }
  });
});

describe('ixy l2fwd with addresses of kind model:P.V', () => {
  test('starts a model that has them, and generates for the VFs in use', async () => {
    const argv = ['l2fwd', 'model:1.0', 'model:0.1', '--duration', '1', '--json'];
    const program = processes.ixy(...argv);
    expect((await program.end()).status).toBe(0);
    const { devices, ports } = program.lastJson<Report>();
    expect(devices.map(({ device }) => device)).toEqual(['model:1.0', 'model:0.1']);
    const moved = ports.filter(({ sinkReceived }) => sinkReceived > 1000);
    expect(ports).toHaveLength(4);
    expect(moved.map(({ port, vf }) => `${port}.${vf}`)).toEqual(['0.1', '1.0']);
  });
});

// What is left when a process is killed under load: the model outlives its forwarders without
// growing, and a forwarder whose model is gone says so and ends.

import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { childrenOf, type Footprint, footprint, Processes, processesWith } from './processes.ts';

const KILLS = 10;
/** Pages that a garbage-collected heap and the allocator may keep, one run more, one less. */
const SLACK_MIB = 24;
const KILL_TO_EXIT_MS = 10_000;
/** Ten starts, each with a report after a second, on a machine that has other things to do. */
const TEN_RUNS_MS = 120_000;

/** A report of `ixy l2fwd --json`. */
interface Report {
  readonly final?: boolean;
  readonly devices: readonly { readonly rxPackets: number; readonly txPackets: number }[];
}

let processes: Processes;

beforeEach(() => {
  processes = new Processes();
});
afterEach(() => processes.close());

const forwards = ({ devices }: Report): boolean =>
  devices.every(({ rxPackets, txPackets }) => rxPackets > 1000 && txPackets > 1000);

describe('a forwarder killed ten times under load', () => {
  test(
    'forwards again each time, and the model grows neither in memory nor in open files',
    async () => {
      const model = await processes.model('--port0', 'gen', '--port1', 'gen');
      const addresses = [processes.address(0, 0), processes.address(1, 0)];
      const samples: Footprint[] = [];
      for (let run = 0; run < KILLS; run++) {
        const forwarder = processes.forwarder('--json', ...addresses);
        // The first report comes after a second: a run that needs longer to forward shows there.
        await forwarder.line(() => true);
        expect(JSON.parse(forwarder.lines[0])).toSatisfy(forwards);
        samples.push(footprint(model.pid));
        expect((await forwarder.kill('SIGKILL')).signal).toBe('SIGKILL');
      }
      console.log(`model at run 1, 2, ${KILLS}:`, samples[0], samples[1], samples[KILLS - 1]);
      const [, early] = samples;
      const late = samples[KILLS - 1];
      expect(new Set(samples.map(({ fds }) => fds)).size).toBe(1);
      expect(late.sizeMiB - early.sizeMiB).toBeLessThan(SLACK_MIB);
      expect(late.rssMiB - early.rssMiB).toBeLessThan(SLACK_MIB);
      model.child.stdin?.end();
      expect(await model.end()).toMatchObject({ status: 0, stderr: '' });
      const { ports } = model.lastJson<{ ports: object[] }>();
      for (const row of ports)
        expect(row).toMatchObject({ iommuFaults: 0, spoofed: 0, sinkCorrupt: 0 });
    },
    TEN_RUNS_MS,
  );
});

describe('a model killed under load', () => {
  test('ends the forwarder with status 1, a final report and the name of the socket', async () => {
    const model = await processes.model('--port0', 'gen', '--port1', 'gen');
    const addresses = [processes.address(0, 0), processes.address(1, 0)];
    const forwarder = processes.forwarder('--json', ...addresses);
    await forwarder.line(() => true);
    const killed = performance.now();
    await model.kill('SIGKILL');
    const { status, stderr } = await forwarder.end();
    const tookMs = performance.now() - killed;
    console.log(`model killed: forwarder ended after ${tookMs.toFixed(0)} ms: ${stderr.trim()}`);
    expect(status).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/\/p[01]v0\.sock/);
    const last = forwarder.lastJson<Report>();
    expect(last.final).toBe(true);
    expect(last).toSatisfy(forwards);
    expect(tookMs).toBeLessThan(KILL_TO_EXIT_MS);
  });

  test('that was its own ends it with status 1, a final report and nothing left', async () => {
    const forwarder = processes.forwarder('--json');
    await forwarder.line(() => true);
    const [child] = childrenOf(forwarder.pid);
    expect(processesWith(processes.folder)).toEqual([child]);
    process.kill(child, 'SIGKILL');
    const { status, stderr } = await forwarder.end();
    expect(status).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/the model ended by itself \(SIGKILL\)|\/p[01]v0\.sock/);
    expect(forwarder.lastJson<Report>().final).toBe(true);
    expect(processesWith(processes.folder)).toEqual([]);
    expect(readdirSync(processes.folder)).toEqual([]);
  });
});

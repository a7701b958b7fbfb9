// Commands whose devices are reset, taken down or taken away by their host: an administrator's `ixy pf` on a model in
// another process.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Processes, type Program } from './processes.ts';

/** A device as the reports have it. */
interface Device {
  readonly link: boolean;
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly restarts: number;
}
interface Report {
  readonly final?: boolean;
  readonly devices: readonly Device[];
}

const LIMIT_MS = 60_000;
let processes: Processes;

beforeEach(() => {
  processes = new Processes();
});
afterEach(() => processes.close());

async function pf(...words: string[]): Promise<void> {
  const { status, stderr } = await processes.ixy('pf', '--dir', processes.folder, ...words).end();
  expect(stderr).toBe('');
  expect(status).toBe(0);
}

/** The next report in which every device has link and has moved frames since `before`. */
function forwards(program: Program, before: Report | undefined, restarts: number): Promise<Report> {
  return program.json<Report>(
    ({ devices }) =>
      devices.every(
        ({ link, rxPackets }, i) => link && rxPackets > (before?.devices[i].rxPackets ?? 0) + 1000,
      ) && devices.reduce((sum, device) => sum + device.restarts, 0) === restarts,
    program.lines.length,
  );
}

describe('l2fwd', () => {
  test(
    'goes on after each thing that a host does to its VFs, and counts restarts',
    async () => {
      await processes.model('--port0', 'gen', '--port1', 'gen');
      const addresses = [processes.address(0, 0), processes.address(1, 0)];
      const forwarder = processes.forwarder('--json', '--interval', '0.2', ...addresses);
      let report = await forwards(forwarder, undefined, 0);
      await pf('0', 'reset');
      report = await forwards(forwarder, report, 1);
      await pf('1', 'down');
      await forwarder.json<Report>(({ devices }) => !devices[1].link, forwarder.lines.length);
      await pf('1', 'up');
      report = await forwards(forwarder, report, 2);
      await pf('0', 'vf', '0', 'trust', 'on');
      report = await forwards(forwarder, report, 3);
      await pf('0', 'cable', 'out');
      await forwarder.json<Report>(({ devices }) => !devices[0].link, forwarder.lines.length);
      await pf('0', 'cable', 'in');
      await forwards(forwarder, report, 3);
      const { status, stderr } = await forwarder.kill('SIGINT');
      expect(status).toBe(0);
      expect(stderr.match(/p0v0\.sock: goes on after \d+ ms/g)).toHaveLength(2);
      expect(forwarder.lastJson<Report>()).toMatchObject({
        final: true,
        devices: [{ link: true, restarts: 2 }, { restarts: 1 }],
      });
    },
    LIMIT_MS,
  );
});

describe('a MAC that the host changes', () => {
  interface Counters {
    readonly spoofed: number;
    readonly delivered: number;
    readonly sinkReceived: number;
  }

  async function counters(): Promise<readonly Counters[]> {
    const shown = processes.ixy('pf', '--dir', processes.folder, 'show', '--json');
    await shown.end();
    const { ports } = shown.lastJson<{ ports: { vfs: { counters: Counters }[] }[] }>();
    return ports.map(({ vfs }) => vfs[0].counters);
  }

  /** Changes a MAC, and waits until no frame is refused for its source any more and more of them arrive. */
  async function change(
    port: number,
    arrived: (now: readonly Counters[]) => number,
  ): Promise<void> {
    await pf(`${port}`, 'vf', '0', 'mac', `02:11:22:33:44:0${port}`);
    // Linux tells the VF nothing; only what it registers with next is another MAC.
    await pf(`${port}`, 'reset');
    const settled = async (): Promise<boolean> => {
      const [before, now] = [await counters(), await counters()];
      const some = arrived(now) > arrived(before);
      return some && now.every(({ spoofed }, i) => spoofed === before[i].spoofed);
    };
    await expect.poll(settled, { timeout: LIMIT_MS / 3 }).toBe(true);
  }

  test(
    'is what l2fwd sends from',
    async () => {
      await processes.model('--port0', 'gen:rate=20k', '--port1', 'gen:rate=20k');
      const program = processes.forwarder(processes.address(0, 0), processes.address(1, 0));
      await program.line((line) => /RX: /.test(line));
      await change(0, ([at]) => at.sinkReceived);
      await change(1, ([, at]) => at.sinkReceived);
      expect((await program.kill('SIGINT')).status).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    'is what pktgen sends from, and to',
    async () => {
      await processes.model('--port0', 'cable:0', '--port1', 'cable:0');
      const [from, to] = [processes.address(0, 0), processes.address(1, 0)];
      const program = processes.ixy('pktgen', from, '--rx', to, '--rate', '20k');
      await program.line((line) => /RX: /.test(line));
      await change(0, ([, at]) => at.delivered);
      await change(1, ([, at]) => at.delivered);
      expect((await program.kill('SIGINT')).status).toBe(0);
    },
    LIMIT_MS,
  );
});

describe.each(['l2fwd', 'pktgen', 'dump'])('%s, whose device is taken away,', (command) => {
  const start = (...argv: string[]): Program => {
    const addresses = command === 'l2fwd' ? [0, 1] : [0];
    return processes.ixy(
      command,
      ...addresses.map((port) => processes.address(port, 0)),
      ...['--json', '--interval', '0.2', '--duration', '60', ...argv],
    );
  };
  const moves = ({ devices: [{ rxPackets, txPackets }] }: Report): boolean =>
    Math.max(rxPackets, txPackets) > 100;

  test(
    'gives it back, and ends with status 1 and one line',
    async () => {
      await processes.model('--port0', 'gen:rate=100k', '--port1', 'gen:rate=100k');
      const program = start();
      await program.json(moves);
      await pf('0', 'vf', '0', 'unplug');
      const { status, stderr } = await program.end();
      expect(status).toBe(1);
      expect(
        stderr
          .trim()
          .split('\n')
          .filter((line) => line.startsWith('ixy: ')),
      ).toHaveLength(1);
      expect(stderr).toMatch(/^ixy: .*p0v0\.sock: its host asks for the device back$/m);
      expect(program.lastJson<Report>().final).toBe(true);
    },
    LIMIT_MS,
  );

  test(
    'goes on with --wait-for-device once it is back',
    async () => {
      await processes.model('--port0', 'gen:rate=100k', '--port1', 'gen:rate=100k');
      const program = start('--wait-for-device');
      await program.json(moves);
      for (let round = 1; round <= 2; round++) {
        await pf('0', 'vf', '0', 'unplug');
        const { devices } = program.lastJson<Report>();
        await pf('0', 'vf', '0', 'plug');
        await program.json<Report>(
          ({ devices: [now] }) =>
            now.restarts === round &&
            now.link &&
            now.rxPackets + now.txPackets > devices[0].rxPackets + devices[0].txPackets + 100,
          program.lines.length,
        );
      }
      expect((await program.kill('SIGINT')).status).toBe(0);
      const { final, devices } = program.lastJson<Report>();
      expect(final).toBe(true);
      expect(devices[0].restarts).toBe(2);
    },
    LIMIT_MS,
  );
});

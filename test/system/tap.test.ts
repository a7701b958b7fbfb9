// Real Linux traffic through two processes: TAP devices in two network namespaces are what the
// model's ports are plugged into, and `ixy l2fwd` forwards between the VFs behind them.

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installed, missingForNamespaces, Namespace } from './namespace.ts';
import { Processes, type Program } from './processes.ts';

const MAC_OF_HOST = ['02:00:00:00:00:a0', '02:00:00:00:00:a1'] as const;
const IP_OF_HOST = ['198.18.0.1', '198.18.0.2'] as const;
const MAC_OF_VF = ['02:09:c0:00:00:00', '02:09:c0:00:01:00'] as const;
const TRANSFER_BYTES = 50_000_000;

const missing = missingForNamespaces();

describe('two hosts behind the ports of a model, and a forwarder between its VFs', () => {
  let processes: Processes;
  let model: Program;
  let forwarder: Program;
  let hosts: Namespace[] = [];

  beforeAll(async () => {
    if (missing !== '') return;
    processes = new Processes();
    const suffix = randomBytes(4).toString('hex');
    const taps = [`ixya${suffix}`, `ixyb${suffix}`] as const;
    const specs = ['--port0', `tap:${taps[0]}`, '--port1', `tap:${taps[1]}`];
    model = await processes.model('--ports', '2', '--vfs', '1', ...specs);
    hosts = [await Namespace.make(processes), await Namespace.make(processes)];
    for (const [i, host] of hosts.entries()) {
      const neighbour = { address: IP_OF_HOST[1 - i], mac: MAC_OF_VF[i] };
      await host.adopt(taps[i], MAC_OF_HOST[i], IP_OF_HOST[i], neighbour);
    }
    // What leaves device 1 is told where to go; what leaves device 0 goes where the requests came from.
    const addresses = [processes.address(0, 0), processes.address(1, 0)];
    forwarder = processes.forwarder('--json', '--eth-peer1', MAC_OF_HOST[1], ...addresses);
    await forwarder.line(() => true);
  });

  afterAll(() => processes?.close());

  test('a flood of 1000 pings loses none', async (ctx) => {
    if (missing !== '') ctx.skip(missing);
    if (!installed('ping', '-V')) ctx.skip('no ping: apt-get install iputils-ping');
    const ping = hosts[0].start('ping', '-q', '-f', '-c', '1000', '-w', '25', IP_OF_HOST[1]);
    const { status } = await ping.end();
    expect(ping.lines.join('\n')).toMatch(
      /1000 packets transmitted, 1000 received, 0% packet loss/,
    );
    expect(status).toBe(0);
  });

  test('50 MB over TCP arrive byte for byte', async (ctx) => {
    if (missing !== '') ctx.skip(missing);
    const program = new URL('tcp-transfer.mjs', import.meta.url).pathname;
    const server = hosts[1].start(process.execPath, program, 'serve', IP_OF_HOST[1]);
    await server.line((line) => line === 'listening');
    const argv = [program, 'send', IP_OF_HOST[1], `${TRANSFER_BYTES}`];
    const client = hosts[0].start(process.execPath, ...argv);
    expect(await client.end()).toMatchObject({ status: 0, stderr: '' });
    expect(await server.end()).toMatchObject({ status: 0, stderr: '' });
    expect(client.lastJson()).toMatchObject({ bytes: TRANSFER_BYTES });
    expect(server.lastJson()).toEqual(client.lastJson());
  });

  test('iperf3 moves TCP for 5 s', async (ctx) => {
    if (missing !== '') ctx.skip(missing);
    if (!installed('iperf3', '--version')) ctx.skip('no iperf3: apt-get install iperf3');
    const server = hosts[1].start('iperf3', '-s', '-1', '-B', IP_OF_HOST[1], '--forceflush');
    await server.line((line) => line.includes('listening'));
    const client = hosts[0].start('iperf3', '-c', IP_OF_HOST[1], '-t', '5', '-J');
    const { status } = await client.end();
    const report = JSON.parse(client.lines.join('\n')) as {
      error?: string;
      end: { sum_received: { bytes: number; bits_per_second: number } };
    };
    expect([status, report.error]).toEqual([0, undefined]);
    expect(report.end.sum_received.bytes).toBeGreaterThan(1_000_000);
    const mbits = report.end.sum_received.bits_per_second / 1e6;
    console.log(`iperf3 between two TAP devices: ${mbits.toFixed(0)} Mbit/s`);
  });

  test('and nothing of it was spoofed, misdirected or faulty', async (ctx) => {
    if (missing !== '') ctx.skip(missing);
    expect(await forwarder.kill('SIGINT')).toMatchObject({ status: 0, stderr: '' });
    expect(forwarder.lastJson()).toMatchObject({ final: true });
    model.child.stdin?.end();
    expect(await model.end()).toMatchObject({ status: 0, stderr: '' });
    const { ports } = model.lastJson<{ ports: object[] }>();
    expect(ports).toHaveLength(2);
    for (const row of ports) expect(row).toMatchObject({ spoofed: 0, iommuFaults: 0 });
  });
});

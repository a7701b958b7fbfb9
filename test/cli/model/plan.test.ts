// What `ixy model` makes of its command line.

import { describe, expect, test } from 'vitest';
import { parseCommandLine, UsageError } from '../../../src/cli/arguments.ts';
import { model } from '../../../src/cli/model/command.ts';
import { modelPlan } from '../../../src/cli/model/plan.ts';

const setup = (...argv: string[]) => modelPlan(parseCommandLine(model, argv));

describe('ixy model refuses', () => {
  for (const argv of [
    ['--ports', '0'],
    ['--ports', '9'],
    ['--ports', 'two'],
    ['--vfs', '64'],
    ['--vfs', '0'],
    ['--pf', 'windows'],
    ['--pf-mtu', '1499'],
    ['--port0', 'garbage'],
    ['--port0', 'gen:size=1'],
    ['--port0', 'pcap:-', '--exit-with-stdin'],
    ['--port2', 'gen'],
    ['--mac', '0.0'],
    ['--mac', '0.0='],
    ['--mac', '0.1=none'],
    ['--mac', '2.0=none'],
    ['--mac', '0.0=01:00:00:00:00:01'],
    ['--mac', '0.0=00:00:00:00:00:00'],
    ['--mac', '0.0=02:00:00:00:00'],
    ['--set', 'nonsense'],
    ['--set', '0 vf 0 trust'],
    ['--unknown'],
    ['an address'],
  ]) {
    test(argv.join(' '), () => {
      expect(() => setup(...argv)).toThrow(UsageError);
    });
  }
});

test('without options there are two ports with one VF, nothing plugged in, a MAC assigned to each', () => {
  const { ports, trapAll } = setup();
  expect(trapAll).toBe(false);
  const common = { vfs: 1, pf: 'linux-6.1', pfMtu: 1500, wire: 'none' };
  expect(ports).toEqual([
    { ...common, macs: [Uint8Array.of(2, 9, 0xc0, 0, 0, 0)] },
    { ...common, macs: [Uint8Array.of(2, 9, 0xc0, 0, 1, 0)] },
  ]);
});

test('every option reaches the model', () => {
  const { ports, directory, trapAll } = setup(
    ...[
      '--ports',
      '3',
      '--vfs',
      '2',
      '--dir',
      '/run/x',
      '--pf',
      'dpdk',
      '--trap-all',
      '--pf-mtu',
      '9000',
    ],
    ...['--port1', 'gen:rate=1M', '--port2', 'tap:t0'],
    ...['--mac', '1.1=none', '--mac', '2.0=02:AA:bb:cc:dd:ee'],
  );
  expect([directory, trapAll]).toEqual(['/run/x', true]);
  expect(ports.map(({ wire, pf, vfs, pfMtu }) => [wire, pf, vfs, pfMtu])).toEqual([
    ['none', 'dpdk', 2, 9000],
    ['gen:rate=1M', 'dpdk', 2, 9000],
    ['tap:t0', 'dpdk', 2, 9000],
  ]);
  expect(ports.map(({ macs }) => macs[1])).toEqual([
    Uint8Array.of(2, 9, 0xc0, 0, 0, 1),
    null,
    Uint8Array.of(2, 9, 0xc0, 0, 2, 1),
  ]);
  expect(ports[2]?.macs[0]).toEqual(Uint8Array.of(2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee));
});

import { expect, it } from 'vitest';
import { parseCommandLine } from '../../../src/cli/arguments.ts';
import { pktgen } from '../../../src/cli/pktgen/command.ts';
import { pktgenPlan } from '../../../src/cli/pktgen/plan.ts';

/** The ports of the model that is started, and where is measured. */
function plugged(...argv: string[]): [readonly string[] | undefined, string | null] {
  const { model, rxAddress } = pktgenPlan(parseCommandLine(pktgen, argv));
  return [model?.ports, rxAddress];
}

it.each([
  [[], ['cable:0', 'cable:0'], 'model:1.0'],
  [['model:3.1'], ['cable:0', 'cable:0', 'cable:1', 'cable:1'], 'model:2.1'],
  [['--port0', 'cable:0'], ['cable:0', 'cable:0'], 'model:1.0'],
  // Something else in port 0 leaves port 1 without a partner: what comes back comes to the sender.
  [['--port0', 'tap:ixy0'], ['tap:ixy0', 'none'], null],
  [['model:0.0', '--port0', 'pcap:a.pcap'], ['pcap:a.pcap', 'none'], null],
  [['model:1.0', '--port0', 'none'], ['none', 'none'], null],
  [['model:2.0', '--port0', 'none'], ['none', 'none', 'cable:1', 'cable:1'], 'model:3.0'],
  [['model:0.0', '--rx', 'model:0.1', '--port0', 'none'], ['none', 'none'], 'model:0.1'],
] as const)('pktgen %j plugs in %j and measures at %s', (argv, ports, rxAddress) => {
  expect(plugged(...argv)).toEqual([ports, rxAddress]);
});

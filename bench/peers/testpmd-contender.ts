// dpdk-testpmd in `mac` mode as what forwards: rings and batch as ours, no retry, as it is shipped.

import { spawnSync } from 'node:child_process';
import type { Contender, ForwarderCounts } from '../l2fwd/contender.ts';
import { atEnd } from '../method/life.ts';
import { type Dpdk, Testpmd } from './testpmd.ts';

const START_MS = 60_000;
const OPTIONS = ['--forward-mode=mac', '--burst=32', '--rxd=512', '--txd=512', '--nb-cores=1'];

/** Why no unmodified program can be run here, undefined where one can. */
export function whyNoPreload(): string | undefined {
  const plain = ['--mount', '--propagation', 'private'];
  const tries = [
    ['unshare', ...plain, 'true'],
    ['unshare', ...plain, '--user', '--map-root-user', 'true'],
  ];
  const done = tries.some(([command, ...args]) => spawnSync(command, args).status === 0);
  return done ? undefined : 'no private mount namespace is to be had here';
}

/** The counts in testpmd's last words. */
export function countsIn(text: string): ForwarderCounts | null {
  const summary = text.slice(text.lastIndexOf('Accumulated forward statistics for all ports'));
  const match = /RX-packets:\s*(\d+)[\s\S]*?TX-packets:\s*(\d+)\s+TX-dropped:\s*(\d+)/.exec(
    summary,
  );
  if (match === null) return null;
  const [rxPackets, txPackets, txDropped] = match.slice(1).map(Number);
  return { rxPackets, txPackets, txDropped };
}

/** Makes the contender from a DPDK that was fetched. */
export function testpmd(dpdk: Dpdk): Contender {
  return {
    name: `testpmd ${dpdk.version.split('-')[0]}`,
    async start(model, cpu) {
      const program = new Testpmd(dpdk, model.folder, { cpu: cpu ?? 0, options: OPTIONS });
      const cancel = atEnd(() => program.close());
      await program.says(/testpmd> /, START_MS);
      await program.command('start');
      return {
        get ended() {
          return program.over;
        },
        async stop() {
          await program.command('stop');
          cancel();
          return countsIn(await program.close());
        },
      };
    },
  };
}

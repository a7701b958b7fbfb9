// What forwards between the two VFs of a model: `ixy l2fwd`, or somebody else's program.

import { Child } from '../method/child.ts';
import { IXY, type ModelProcess } from './model-process.ts';

/** A forwarder that runs. */
export interface RunningForwarder {
  /** True once it ended, which it should not by itself. */
  readonly ended: boolean;
  /** Ends it. @returns what it counted, null where it counts nothing */
  stop(): Promise<ForwarderCounts | null>;
}

/** Frames, both devices together. */
export interface ForwarderCounts {
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly txDropped: number;
}

/** A kind of forwarder. */
export interface Contender {
  readonly name: string;
  /** Starts it on the model's two VFs; it forwards when this returns, or soon after. */
  start(model: ModelProcess, cpu: number | null): Promise<RunningForwarder>;
}

/** Longest that a forwarder lives, whatever becomes of the bench. */
const LIFE_SECONDS = 600;

/** `ixy l2fwd`, in a process of its own. */
export function ours(batch = 32): Contender {
  return {
    name: 'ixy l2fwd',
    async start(model, cpu) {
      // Nothing is reported meanwhile: the other contenders do not, and printing takes the CPU away from the thread that forwards.
      const args = [IXY, 'l2fwd', model.address(0), model.address(1), '--json', '--interval', '0'];
      args.push('--batch', String(batch), '--duration', String(LIFE_SECONDS));
      const child = new Child(process.execPath, args, { name: 'ixy l2fwd', cpu });
      return {
        get ended() {
          return child.ended;
        },
        async stop() {
          await child.stop('SIGINT');
          const line = child.lines.findLast((text) => text.includes('"final":true'));
          if (line === undefined) return null;
          const { devices } = JSON.parse(line) as { devices: ForwarderCounts[] };
          const sum = (key: keyof ForwarderCounts): number =>
            devices.reduce((total, device) => total + device[key], 0);
          return {
            rxPackets: sum('rxPackets'),
            txPackets: sum('txPackets'),
            txDropped: sum('txDropped'),
          };
        },
      };
    },
  };
}

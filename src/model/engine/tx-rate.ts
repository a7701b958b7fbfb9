// The rate limit of a VF's tx queues, in front of its engine: a token bucket over the octets that went out. What
// silicon does by a rate factor a queue (RTTBCNRC), this does for all queues of the VF together. It costs a VF
// without a limit one comparison a step.

import { type Clock, readUs } from '../../support/clock.ts';
import { C_TX_OCTETS, C_TX_PACKETS } from '../layout.ts';
import type { PoolTable } from '../tables.ts';
import type { FrameForwarder } from '../types.ts';
import type { VfEngine } from './engine.ts';

/** Octets that may go at once after a pause are those of this long: more than the model's loop ever sleeps. */
const BURST_US = 5000;
/** Octets that a frame takes on the wire beside those of the counter: preamble and gap. */
const WIRE_OVERHEAD = 20;

const NOW = 0;
const LAST = 1;
const TOKENS = 2;

/** Sends what a VF has, no faster than its pool allows. One object a VF. */
export class TxRate {
  private readonly engine: VfEngine;
  private readonly pool: Pick<PoolTable, 'txRate'>;
  private readonly clock: Clock;
  /** Two times in us, and octets that may go: numbers in fields would be boxed anew at every write. */
  private readonly state = new Float64Array(3);

  /** @param pool txRate is read at every step */
  constructor(engine: VfEngine, pool: Pick<PoolTable, 'txRate'>, clock: Clock) {
    this.engine = engine;
    this.pool = pool;
    this.clock = clock;
  }

  /** As VfEngine.send. */
  send(port: FrameForwarder, budget: number): number {
    const mbit = this.pool.txRate;
    return mbit === 0 ? this.engine.send(port, budget) : this.sendLimited(port, budget, mbit / 8);
  }

  /** Sends frame after frame while there are tokens; the last one may overdraw them. */
  private sendLimited(port: FrameForwarder, budget: number, octetsPerUs: number): number {
    const { engine, state } = this;
    readUs(this.clock, state);
    const gained = (state[NOW] - state[LAST]) * octetsPerUs;
    state[TOKENS] = Math.min(state[TOKENS] + gained, BURST_US * octetsPerUs);
    state[LAST] = state[NOW];
    let frames = 0;
    while (frames < budget && state[TOKENS] > 0) {
      const h = engine.heap;
      const octets = h[engine.block + C_TX_OCTETS];
      const packets = h[engine.block + C_TX_PACKETS];
      const sent = engine.send(port, 1);
      if (sent === 0) break;
      frames += sent;
      const passed = (h[engine.block + C_TX_PACKETS] - packets) | 0;
      const bytes = (h[engine.block + C_TX_OCTETS] - octets) | 0;
      state[TOKENS] = state[TOKENS] - bytes - WIRE_OVERHEAD * passed;
    }
    return frames;
  }
}

// One frame to several VFs of a port: the pools that the lookup found, each by itself. What could
// not be delivered is counted where it would have gone.

import { RX_STATUS } from '../../hw/descriptors.ts';
import { C_DISABLED, C_FILTERED, C_NO_DESCRIPTOR, POOL_RX, V_POOL, VF_WORDS } from '../layout.ts';
import {
  DELIVERED,
  DISABLED,
  FAULT,
  NO_DESCRIPTOR,
  type RxPath,
  type SwitchMemory,
} from '../types.ts';
import { E_INEXACT, E_POOLS } from './lookup.ts';

/** What `count` takes for a frame that nobody wanted. */
export const FILTERED = -1;

/** Delivers one frame to several VFs. One object a port. */
export class Replication {
  private readonly memory: SwitchMemory;
  private heap: Int32Array;
  private readonly rx: RxPath;
  private readonly firstVf: number;
  private readonly vfs: number;

  /** @param firstVf heap word of the port's first VF block */
  constructor(memory: SwitchMemory, rx: RxPath, firstVf: number, vfs: number) {
    this.memory = memory;
    this.heap = memory.heap;
    this.rx = rx;
    this.firstVf = firstVf;
    this.vfs = vfs;
  }

  refreshViews(): void {
    this.heap = this.memory.heap;
  }

  /**
   * Delivers to every pool of an answer but one, and counts what could not be delivered.
   * @returns pools that were tried
   */
  copies(
    e: number,
    except: number,
    w: number,
    length: number,
    tagged: number,
    status: number,
  ): number {
    const h = this.heap;
    // A driver may run between two copies only in its own memory: the answer is read once.
    const masks0 = h[e + E_POOLS];
    const masks1 = h[e + E_POOLS + 1];
    const inexact0 = h[e + E_INEXACT];
    const inexact1 = h[e + E_INEXACT + 1];
    let tried = 0;
    for (let vf = 0; vf < this.vfs; vf++) {
      const bit = 1 << (vf & 31);
      if (((vf < 32 ? masks0 : masks1) & bit) === 0 || vf === except) continue;
      tried++;
      const v = this.firstVf + vf * VF_WORDS;
      const inexact = ((vf < 32 ? inexact0 : inexact1) & bit) !== 0 ? RX_STATUS.mask.PIF : 0;
      const enabled = (h[v + V_POOL] & POOL_RX) !== 0;
      const result = enabled ? this.rx.deliver(v, w, length, tagged, status | inexact) : DISABLED;
      this.count(v, result);
    }
    return tried;
  }

  /** Closed loop: true where every enabled pool has room, and one is enabled at least. */
  allReady(e: number, w: number, length: number, tagged: number): boolean {
    const h = this.heap;
    let enabled = 0;
    for (let vf = 0; vf < this.vfs; vf++) {
      if ((h[e + E_POOLS + (vf >> 5)] & (1 << (vf & 31))) === 0) continue;
      const v = this.firstVf + vf * VF_WORDS;
      if ((h[v + V_POOL] & POOL_RX) === 0) continue;
      const room = this.rx.room(v, w, length, tagged);
      if (room === NO_DESCRIPTOR) return false;
      if (room === DELIVERED) enabled++;
    }
    return enabled > 0;
  }

  /** Counts a frame that was not delivered. A fault was counted where it was recorded. */
  count(v: number, result: number): void {
    if (result === DELIVERED || result === FAULT) return;
    const h = this.heap;
    const counter =
      v +
      (result === NO_DESCRIPTOR ? C_NO_DESCRIPTOR : result === DISABLED ? C_DISABLED : C_FILTERED);
    h[counter] = (h[counter] + 1) | 0;
  }
}

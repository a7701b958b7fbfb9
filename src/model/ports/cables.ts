// Which ports of one model are joined by a cable.

import type { Log } from '../../support/log.ts';

/** What is plugged into a cable. */
export interface CableEnd {
  /** The SPEC of its port, for errors. */
  readonly spec: string;
  /** The other end, or undefined while nothing is plugged in there. Set by Cables. */
  peer: CableEnd | undefined;
  /** Takes a frame from the other end. @param offset heap byte offset; @param length bytes without CRC */
  receive(offset: number, length: number): void;
}

/** The cables of one model, by the N of `cable:N`. */
export class Cables {
  private readonly ends = new Map<number, readonly CableEnd[]>();

  /** @throws RangeError where both ends are taken */
  plug(cable: number, end: CableEnd): void {
    const ends = this.ends.get(cable) ?? [];
    if (ends.length === 2) {
      throw new RangeError(
        `port spec "${end.spec}": expected a cable with a free end, got one that joins two ports; use another number`,
      );
    }
    this.ends.set(cable, [...ends, end]);
    const [other] = ends;
    if (other === undefined) return;
    other.peer = end;
    end.peer = other;
  }

  unplug(cable: number, end: CableEnd): void {
    const left = (this.ends.get(cable) ?? []).filter((one) => one !== end);
    this.ends.set(cable, left);
    if (end.peer !== undefined) end.peer.peer = undefined;
    end.peer = undefined;
  }

  /** Says of each cable that joins no two ports, which is a link that never comes up. */
  warnOfLoose(log: Log): void {
    for (const ends of this.ends.values()) {
      if (ends.length !== 1) continue;
      log.warn(
        `${ends[0].spec} is at one port only, so its link stays down; give it to a second port`,
      );
    }
  }
}

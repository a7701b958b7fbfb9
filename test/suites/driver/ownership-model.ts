// Who holds which buffer, and what became of each frame: the book-keeping behind
// the ownership property. Reads the free stack, the slot tables and the
// descriptors as they lie in the arena, the way a debugger would.

import { expect } from 'vitest';
import { QUEUE } from '../../../src/ixgbevf/queue/memory.ts';
import type { IxgbeVf } from '../../../src/ixgbevf/vf.ts';
import { POOL } from '../../../src/memory/mempool.ts';
import { type PacketViews, packetViews } from '../../../src/memory/packet-views.ts';
import { DeviceError } from '../../../src/support/errors.ts';
import { frame, idOf, STRANGER } from '../../support/frames.ts';
import type { TestWire } from '../../support/test-wire.ts';
import type { Rig } from './rig.ts';

const DD = 1;
const EOP = 2;
/** Slots of each ring. */
const RING = 64;

/** One VF with one queue of each kind, and what its user did with it. */
export class OwnershipBook {
  readonly rig: Rig;
  readonly vf: IxgbeVf;
  readonly wire: TestWire;
  readonly views: PacketViews;
  /** Buffers of the user. */
  readonly held: number[] = [];
  /** A tx descriptor was misdirected: the queue stands still. */
  txHung = false;
  /** The port was reset: nothing moves before restart(). */
  orphaned = false;
  everOrphaned = false;
  /** The highest frame number received. */
  private last = 0;
  private nextRxId = 1;
  private nextTxId = 1;
  private readonly seen = new Set<number>();
  private readonly sentIds: number[] = [];
  private posted = 0;
  /** Frames that lay in a ring when it was emptied. */
  private rxDiscarded = 0;
  private txDiscarded = 0;
  private rxFaults = 0;
  /** A start was refused: only restart() helps. */
  private down = false;

  constructor(rig: Rig, vf: IxgbeVf) {
    this.rig = rig;
    this.vf = vf;
    this.wire = rig.wire(0);
    this.views = packetViews(vf.mempool);
    this.watchReleases();
  }

  inject(lengths: readonly number[]): void {
    for (const length of lengths) {
      this.wire.inject(frame({ dst: this.vf.mac, id: this.nextRxId++, length }));
    }
  }

  receive(n: number): void {
    const bufs = new Int32Array(n);
    const got = this.vf.rx[0].batch(bufs, 0, n);
    for (const buf of bufs.subarray(0, got)) {
      const id = idOf(this.views.frame(buf));
      expect(this.seen.has(id), `frame ${id} delivered once`).toBe(false);
      expect(id).toBeGreaterThan(this.last);
      expect(id).toBeLessThan(this.nextRxId);
      this.last = id;
      this.seen.add(id);
      this.held.push(buf);
    }
  }

  take(n: number): void {
    const bufs = new Int32Array(n);
    const got = this.vf.mempool.takeBatch(bufs, 0, n);
    this.held.push(...bufs.subarray(0, got));
  }

  give(n: number): void {
    const bufs = Int32Array.from(this.held.splice(0, n));
    this.vf.mempool.giveBatch(bufs, 0, bufs.length);
  }

  /** Posts up to n buffers of the user, each with a number of its own. */
  send(n: number): void {
    const bufs = Int32Array.from(this.held.slice(0, n));
    const first = this.nextTxId;
    for (const [i, buf] of bufs.entries()) {
      this.views.fill(buf, frame({ dst: STRANGER, src: this.vf.mac, id: first + i }));
    }
    const taken = this.vf.tx[0].batch(bufs, 0, bufs.length);
    this.held.splice(0, taken);
    this.nextTxId += taken;
    this.posted += taken;
  }

  /** Lets the model move and takes in what it did. */
  advance(): void {
    this.rig.advance();
    this.takeIn();
  }

  /** stop(): what the rings held is lost. */
  stop(): void {
    if (!this.vf.running) return;
    this.vf.stop();
    this.emptied();
  }

  /** start(), which a mempool with too little in it refuses. */
  start(): void {
    const { vf } = this;
    if (this.orphaned) return;
    if (vf.running) vf.start();
    else if (this.down) expect(() => vf.start()).toThrow(DeviceError);
    else this.bringUp(() => vf.start());
  }

  /** restart(), which empties the rings; refused as start() is. */
  restart(): void {
    this.bringUp(() => this.vf.restart());
    this.orphaned = false;
    this.emptied();
  }

  /** What a careful user does: whatever brings frames back. */
  recover(): void {
    if (this.held.length > this.vf.mempool.count - RING) this.give(this.held.length);
    if (this.down || this.orphaned || this.txHung) this.restart();
    else this.start();
  }

  /** The host resets the port. */
  resetPort(): void {
    this.rig.harness.pf(0).reset();
    this.orphaned = true;
    this.everOrphaned = true;
  }

  /** Everything that must hold between any two steps. */
  check(): void {
    this.takeIn();
    this.checkBuffers();
    this.checkRx();
    this.checkTx();
  }

  private bringUp(work: () => void): void {
    this.down = this.vf.mempool.count - this.held.length < RING;
    if (this.down) expect(work).toThrow(RangeError);
    else work();
    expect(this.vf.running).toBe(!this.down);
    this.txHung = false;
  }

  private emptied(): void {
    this.takeIn();
    const { packets, dropped } = this.vf.rx[0].counters;
    this.rxDiscarded = this.delivered - packets - dropped - this.waiting();
    this.txDiscarded = this.posted - this.sentIds.length;
  }

  /** Holds the driver to this: when an rx ring gives buffers back, nothing writes to them any more. */
  private watchReleases(): void {
    const { mempool } = this.vf;
    const give = mempool.giveFromRing.bind(mempool);
    mempool.giveFromRing = (heap, slots, n) => {
      give(heap, slots, n);
      if (n !== RING) return;
      const before = this.freeBytes();
      for (let us = 0; us < 100; us += 20) this.rig.harness.clock.pass(20);
      const same = this.freeBytes().equals(before);
      expect(same, 'no buffer is written after its release').toBe(true);
    };
  }

  /** The first bytes of each buffer on the free stack. */
  private freeBytes(): Buffer {
    const { i32, u8 } = this.rig.harness.arena.views;
    const pool = this.vf.mempool.handle.state;
    const stack = i32[pool + POOL.STACK];
    const bufs = [...i32.subarray(stack, stack + i32[pool + POOL.AVAILABLE])];
    return Buffer.concat(
      bufs.map((buf) => u8.subarray(this.views.offset(buf), this.views.offset(buf) + 64)),
    );
  }

  private get delivered(): number {
    return this.rig.counters(0).delivered;
  }

  private takeIn(): void {
    for (const bytes of this.wire.take()) this.sentIds.push(idOf(bytes));
    this.rxFaults += this.rig.takeFaults().filter(({ write }) => write).length;
  }

  /** Each buffer of the mempool is in exactly one of free stack, rx slots, tx slots, the user's hands. */
  private checkBuffers(): void {
    const { i32 } = this.rig.harness.arena.views;
    const { mempool, rx, tx, running } = this.vf;
    const pool = mempool.handle.state;
    const stack = i32[pool + POOL.STACK];
    const owners = [...this.held, ...i32.subarray(stack, stack + i32[pool + POOL.AVAILABLE])];
    if (running) {
      const { SLOTS, SIZE, CLEAN, NEXT } = QUEUE;
      const rxState = rx[0].handle.state;
      const slots = i32[rxState + SLOTS];
      owners.push(...i32.subarray(slots, slots + i32[rxState + SIZE]));
      const txState = tx[0].handle.state;
      const mask = i32[txState + SIZE] - 1;
      for (let i = i32[txState + CLEAN]; i !== i32[txState + NEXT]; i = (i + 1) & mask) {
        owners.push(i32[i32[txState + SLOTS] + ((i - 1) & mask)]);
      }
    }
    const first = i32[pool + POOL.FIRST];
    const step = i32[pool + POOL.STEP];
    owners.sort((a, b) => a - b);
    // Compared by hand: this runs after every step.
    const whole = owners.every((buf, i) => buf === first + i * step);
    if (whole && owners.length === mempool.count) return;
    expect(owners).toEqual(Array.from({ length: mempool.count }, (_, i) => first + i * step));
  }

  /** Each frame offered was delivered once, or dropped and counted once, or waits in the ring. */
  private checkRx(): void {
    const { delivered, missedNoDescriptor, missedDisabled, filtered } = this.rig.counters(0);
    const dropped = missedNoDescriptor + missedDisabled + filtered + this.rxFaults;
    expect(delivered + dropped).toBe(this.wire.offered);
    const { packets, dropped: tooLarge, lost } = this.vf.rx[0].counters;
    expect(packets).toBe(this.seen.size);
    expect(packets + tooLarge + this.rxDiscarded + this.waiting()).toBe(delivered);
    // Frames that a chip writes after ENABLE reads 0 are among the lost, too.
    expect(lost).toBeGreaterThanOrEqual(this.rxDiscarded);
  }

  /** Whole frames that lie in the rx ring. */
  private waiting(): number {
    if (!this.vf.running) return 0;
    const { i32 } = this.rig.harness.arena.views;
    const { state } = this.vf.rx[0].handle;
    const size = i32[state + QUEUE.SIZE];
    let frames = 0;
    for (let k = 0; k < size; k++) {
      const slot = (i32[state + QUEUE.NEXT] + k) & (size - 1);
      const status = i32[i32[state + QUEUE.DESCRIPTORS] + slot * 4 + 2];
      if ((status & DD) === 0) break;
      if ((status & EOP) !== 0) frames++;
    }
    return frames;
  }

  /** Each frame posted left the chip once and in order, or was lost with its ring, or waits in the ring. */
  private checkTx(): void {
    expect(this.vf.tx[0].counters).toMatchObject({
      packets: this.posted,
      dropped: 0,
      lost: this.txDiscarded,
    });
    for (let i = 1; i < this.sentIds.length; i++) {
      expect(this.sentIds[i]).toBeGreaterThan(this.sentIds[i - 1]);
    }
    const pending = this.posted - this.sentIds.length - this.txDiscarded;
    expect(pending).toBeGreaterThanOrEqual(0);
    expect(pending).toBeLessThanOrEqual(RING - 2);
  }

  /** After the model had its time: nothing is pending in a ring that moves. */
  checkQuiet(): void {
    if (this.txHung || this.orphaned || !this.vf.running) return;
    expect(this.posted - this.sentIds.length - this.txDiscarded).toBe(0);
  }
}

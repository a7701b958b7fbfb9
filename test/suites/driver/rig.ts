// One model and its open VFs for the length of one test, and what must hold when
// any test ends: the model saw nothing that a correct driver would not do, no
// DMA fault, every buffer is back in its mempool, no DMA memory was kept.

import { afterEach, expect } from 'vitest';
import type { VfOptions } from '../../../src/ixgbevf/options.ts';
import { type IxgbeVf, openVf } from '../../../src/ixgbevf/vf.ts';
import {
  createMempool,
  destroyMempool,
  type Mempool,
  type MempoolOptions,
} from '../../../src/memory/mempool.ts';
import { packetViews } from '../../../src/memory/packet-views.ts';
import type { NicCounters } from '../../../src/model/nic.ts';
import type { NicPortOptions } from '../../../src/model/nic-port.ts';
import type { IommuFault, Violation } from '../../../src/model/recorder.ts';
import type { VfioDevice } from '../../../src/vfio/device.ts';
import type { DriverHarness, MakeHarness } from '../../support/driver-harness.ts';
import { frame, idOf, STRANGER } from '../../support/frames.ts';
import { TamperedDevice } from '../../support/tampered-device.ts';
import { TestWire } from '../../support/test-wire.ts';

/** Small rings: a test that does not name a size shall not spend its time on clearing memory. */
const SMALL: VfOptions = { rxRingSize: 64, txRingSize: 64 };

/** A model and its open VFs; a test ends only when they left no trace. */
export class Rig {
  readonly harness: DriverHarness;
  private readonly wires = new Map<number, TestWire>();
  private readonly vfs: IxgbeVf[] = [];
  private readonly mempools: Mempool[] = [];
  private readonly usedBefore: number;

  constructor(harness: DriverHarness) {
    this.harness = harness;
    this.usedBefore = harness.arena.dmaUsedBytes;
  }

  /** Opens a VF with small rings. */
  async open(port: number, vf: number, options: VfOptions = {}): Promise<IxgbeVf> {
    return this.openDevice(this.harness.device(port, vf), options);
  }

  /** A VF whose device the test can make lie. */
  tampered(port: number, vf: number): TamperedDevice {
    return new TamperedDevice(this.harness.device(port, vf), (work) => this.harness.hold(work));
  }

  async openDevice(device: VfioDevice, options: VfOptions = {}): Promise<IxgbeVf> {
    const { arena, clock } = this.harness;
    const opened = await openVf(device, arena, { clock, ...SMALL, ...options });
    this.vfs.push(opened);
    return opened;
  }

  mempool(options: MempoolOptions): Mempool {
    const made = createMempool(this.harness.arena, options);
    this.mempools.push(made);
    return made;
  }

  /** The port's wire, plugged in at the first call. */
  wire(port: number): TestWire {
    let wire = this.wires.get(port);
    if (wire === undefined) {
      wire = new TestWire(this.harness.arena, this.harness.ingress(port));
      this.wires.set(port, wire);
      this.harness.plug(port, wire);
    }
    return wire;
  }

  advance(): void {
    this.harness.advance();
  }

  counters(port: number, vf = 0): NicCounters {
    return this.harness.counters(port, vf);
  }

  /** Puts frames on a port's wire and lets the model move. */
  inject(port: number, ...frames: readonly Uint8Array[]): void {
    this.wire(port).inject(...frames);
    this.advance();
  }

  /** Lets the model move and takes all frames a VF has, as copies; their buffers go back. */
  receive(vf: IxgbeVf, batch = 32): Uint8Array[] {
    const frames: Uint8Array[] = [];
    const bufs = new Int32Array(batch);
    this.advance();
    for (const [q, queue] of vf.rx.entries()) {
      const mempool = vf.mempools[q % vf.mempools.length];
      const views = packetViews(mempool);
      for (let n = queue.batch(bufs, 0, batch); n > 0; n = queue.batch(bufs, 0, batch)) {
        for (let i = 0; i < n; i++) frames.push(views.frame(bufs[i]).slice());
        mempool.giveBatch(bufs, 0, n);
        this.advance();
      }
    }
    return frames;
  }

  /** Posts frames in one batch and lets the model move. @returns how many the ring took */
  send(vf: IxgbeVf, frames: readonly Uint8Array[], queue = 0): number {
    const taken = this.post(vf, frames, queue);
    this.advance();
    return taken;
  }

  /** Posts frames in one batch; what the ring does not take goes back. @returns how many it took */
  post(vf: IxgbeVf, frames: readonly Uint8Array[], queue = 0): number {
    const mempool = vf.mempools[queue % vf.mempools.length];
    const views = packetViews(mempool);
    const bufs = new Int32Array(frames.length);
    const n = mempool.takeBatch(bufs, 0, frames.length);
    for (let i = 0; i < n; i++) views.fill(bufs[i], frames[i]);
    const taken = vf.tx[queue].batch(bufs, 0, n);
    mempool.giveBatch(bufs, taken, n - taken);
    return taken;
  }

  /** Sends back whatever comes, source MAC its own, until nothing moves any more. @returns frames sent */
  echo(vf: IxgbeVf, to: readonly number[], batch: number): number {
    const bufs = new Int32Array(batch);
    const views = packetViews(vf.mempool);
    const own = vf.macBytes;
    let idle = 0;
    let total = 0;
    while (idle < 3) {
      this.harness.advance(4);
      const n = vf.rx[0].batch(bufs, 0, batch);
      idle = n === 0 ? idle + 1 : 0;
      for (let i = 0; i < n; i++) {
        const at = views.offset(bufs[i]);
        views.bytes.set(to, at);
        views.bytes.set(own, at + 6);
      }
      for (let sent = 0; sent < n; this.harness.advance(4)) {
        sent += vf.tx[0].batch(bufs, sent, n - sent);
      }
      total += n;
    }
    return total;
  }

  /** A frame to the VF arrives, and a frame of the VF leaves by the wire of port 0. */
  expectTraffic(vf: IxgbeVf): void {
    const wire = this.wire(0);
    this.inject(0, frame({ dst: vf.mac, id: 5 }));
    expect(this.receive(vf).map(idOf)).toEqual([5]);
    wire.take();
    expect(this.send(vf, [frame({ dst: STRANGER, src: vf.mac, id: 6 })])).toBe(1);
    expect(wire.take().map(idOf)).toEqual([6]);
  }

  /** Takes the DMA faults recorded so far: the end of the test will not see them. */
  takeFaults(): IommuFault[] {
    return this.harness.recorder.faults.splice(0);
  }

  /** Takes the violations recorded so far. */
  takeViolations(): Violation[] {
    return this.harness.recorder.violations.splice(0);
  }

  /** What must hold at the end; see the head of this file. */
  finish(): void {
    const { harness } = this;
    for (const vf of this.vfs) vf.close();
    expect(this.takeViolations()).toEqual([]);
    expect(this.takeFaults()).toEqual([]);
    for (const mempool of this.mempools) {
      expect(mempool.available).toBe(mempool.count);
      destroyMempool(harness.arena, mempool);
    }
    expect(harness.arena.dmaUsedBytes).toBe(this.usedBefore);
    harness.close();
  }
}

/** For a describe block: makes rigs, and finishes them after each test. */
export function useRigs(make: MakeHarness): (...ports: readonly NicPortOptions[]) => Rig {
  const rigs: Rig[] = [];
  afterEach(() => {
    for (const rig of rigs.splice(0)) rig.finish();
  });
  return (...ports) => {
    const rig = new Rig(make(ports));
    rigs.push(rig);
    return rig;
  };
}

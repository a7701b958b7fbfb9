// A NIC on plain shared memory, and VFs driven by hand: BAR words and descriptors written as a
// driver writes them, register numbers as literals. Test support, not part of the package.

import type { ArenaViews } from '../../src/memory/layout.ts';
import { Nic, type NicOptions } from '../../src/model/nic.ts';
import type { NicPortOptions } from '../../src/model/nic-port.ts';
import { type Ingress, OFFER, type PortCounters, type WirePort } from '../../src/model/types.ts';
import type { VfDevice } from '../../src/model/vf/device.ts';
import type { Clock } from '../../src/support/clock.ts';

/** Where DMA memory lies for every VF of a test: IOVA = heap offset + this. */
export const IOVA_BASE = 0x1_0000_0000;

export class TestMemory {
  views: ArenaViews;
  private next = 65_536;

  constructor(sizeBytes = 16 * 1024 * 1024) {
    this.views = viewsOver(new SharedArrayBuffer(sizeBytes));
  }

  allocateControl(sizeBytes: number): number {
    return this.take(sizeBytes, 64);
  }

  reserveWindow(sizeBytes: number, alignBytes = 4096): number {
    return this.take(sizeBytes, alignBytes);
  }

  take(sizeBytes: number, alignBytes: number): number {
    const offset = Math.ceil(this.next / alignBytes) * alignBytes;
    this.next = offset + sizeBytes;
    if (this.next > this.views.u8.length) throw new Error('test memory is full');
    return offset;
  }
}

export function viewsOver(buffer: SharedArrayBuffer): ArenaViews {
  return {
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    u16: new Uint16Array(buffer),
    u8: new Uint8Array(buffer),
    f64: new Float64Array(buffer),
    u64: new BigUint64Array(buffer),
  };
}

export class TestClock implements Clock {
  us = 0;
  nowUs(): number {
    return this.us;
  }
  sleepUs(us: number): void {
    this.us += us;
  }
}

/** Keeps copies of what leaves the port. */
export class RecordingPort implements WirePort {
  readonly spec = 'recording';
  linkUp = true;
  closed = false;
  readonly frames: { vf: number; bytes: number[] }[] = [];
  /** Frames a transmit call. */
  readonly batches: number[] = [];
  private readonly memory: TestMemory;
  constructor(memory: TestMemory) {
    this.memory = memory;
  }
  step(): number {
    return 0;
  }
  transmit(offsets: Int32Array, lengths: Int32Array, n: number, vf: number): void {
    this.batches.push(n);
    for (let i = 0; i < n; i++) {
      const offset = offsets[i] >>> 0;
      const bytes = [...this.memory.views.u8.subarray(offset, offset + lengths[i])];
      this.frames.push({ vf, bytes });
    }
  }
  addCounters(_vf: number, _counters: PortCounters): void {}
  close(): void {
    this.closed = true;
  }
}

/** An Ethernet frame as bytes. */
export function frame(
  options: {
    dst?: number[];
    src?: number[];
    tci?: number;
    type?: number;
    length?: number;
    fill?: number;
  } = {},
): number[] {
  const {
    dst = macOf(0, 0),
    src = [2, 0, 0, 0, 0, 9],
    tci,
    type = 0x88b5,
    length = 60,
    fill = 0x5a,
  } = options;
  const tag = tci === undefined ? [] : [0x81, 0x00, tci >> 8, tci & 0xff];
  const head = [...dst, ...src, ...tag, type >> 8, type & 0xff];
  return [...head, ...Array.from({ length: length - head.length }, (_, i) => (fill + i) & 0xff)];
}

/** The MAC that a PF of the model gives. */
export function macOf(port: number, vf: number): number[] {
  return [0x02, 0x09, 0xc0, 0x00, port, vf];
}

export const BROADCAST = [255, 255, 255, 255, 255, 255];

/** A VF with one rx and one tx queue at most, programmed word by word. */
export class RawVf {
  readonly device: VfDevice;
  readonly memory: TestMemory;
  rxRing = 0;
  rxBuffers = 0;
  rxCount = 0;
  txRing = 0;
  txBuffers = 0;
  txCount = 0;
  txTail = 0;
  txHead = 0;

  constructor(device: VfDevice, memory: TestMemory) {
    this.device = device;
    this.memory = memory;
  }

  /** Bus master on, all memory mapped, RESET through the mailbox. */
  bringUp(nic: Nic): this {
    this.device.configWrite(4, 2, 0x0004);
    const size = this.memory.views.u8.length;
    this.device.dmaMap(IOVA_BASE, size, 0, true, true);
    this.reset(nic);
    return this;
  }

  /** VFCTRL.RST and the RESET message. */
  reset(nic: Nic): void {
    this.device.mmioWrite(0x0000, 1 << 26);
    nic.step(1);
    this.request(nic, [1]);
  }

  /** One mailbox request; @returns word 0 of the reply. */
  request(nic: Nic, words: number[]): number {
    this.device.mmioWrite(0x02fc, 4);
    for (const [i, word] of words.entries()) this.device.mmioWrite(0x0200 + 4 * i, word);
    this.device.mmioWrite(0x02fc, 1);
    nic.step(1);
    this.device.mmioWrite(0x02fc, 4);
    const reply = this.device.mmioRead(0x0200);
    this.device.mmioWrite(0x02fc, 2);
    nic.step(1);
    return reply >>> 0;
  }

  word(offset: number): number {
    return this.memory.views.u32[(this.device.barOffset + offset) >>> 2];
  }

  setWord(offset: number, value: number): void {
    this.memory.views.u32[(this.device.barOffset + offset) >>> 2] = value;
  }

  /** A counter register after a barrier. */
  counter(offset: number): number {
    return this.device.mmioRead(offset);
  }

  startRx(
    options: { count?: number; kib?: number; vme?: boolean; queue?: number; post?: number } = {},
  ): void {
    const { count = 8, kib = 2, vme = false, queue = 0, post = count - 1 } = options;
    this.rxCount = count;
    this.rxRing = this.memory.take(count * 16, 128);
    this.rxBuffers = this.memory.take(count * 2048, 4096);
    const block = 0x1000 + 0x40 * queue;
    this.setWord(block, iovaLow(this.rxRing));
    this.setWord(block + 0x04, 1);
    this.setWord(block + 0x08, count * 16);
    this.setWord(block + 0x10, 0);
    this.setWord(block + 0x18, 0);
    this.setWord(block + 0x14, (1 << 28) | (1 << 25) | kib);
    for (let i = 0; i < count; i++) this.postRx(i);
    this.setWord(block + 0x28, (1 << 25) | (vme ? 1 << 30 : 0));
    this.setWord(block + 0x18, post);
  }

  /** Writes a read-format descriptor. */
  postRx(index: number, offset = this.rxBuffers + index * 2048): void {
    const d = (this.rxRing >>> 2) + index * 4;
    const h = this.memory.views.i32;
    h[d] = iovaLow(offset);
    h[d + 1] = 1;
    h[d + 2] = 0;
    h[d + 3] = 0;
  }

  /** The four words of a descriptor, unsigned. */
  rx(index: number): number[] {
    const d = (this.rxRing >>> 2) + index * 4;
    return [...this.memory.views.u32.subarray(d, d + 4)];
  }

  rxData(index: number, length: number): number[] {
    const at = this.rxBuffers + index * 2048;
    return [...this.memory.views.u8.subarray(at, at + length)];
  }

  startTx(
    options: {
      count?: number;
      wthresh?: number;
      context?: boolean;
      queue?: number;
      headAt?: number;
    } = {},
  ): void {
    const { count = 16, wthresh = 0, context = true, queue = 0, headAt } = options;
    this.txCount = count;
    this.txRing = this.memory.take(count * 16, 128);
    this.txBuffers = this.memory.take(count * 2048, 4096);
    this.txTail = 0;
    const block = 0x2000 + 0x40 * queue;
    this.setWord(block, iovaLow(this.txRing));
    this.setWord(block + 0x04, 1);
    this.setWord(block + 0x08, count * 16);
    this.setWord(block + 0x10, 0);
    this.setWord(block + 0x18, 0);
    this.setWord(block + 0x38, headAt === undefined ? 0 : (iovaLow(headAt) | 1) >>> 0);
    this.setWord(block + 0x3c, headAt === undefined ? 0 : 1);
    this.setWord(block + 0x28, ((1 << 25) | (wthresh << 16)) >>> 0);
    if (context) this.context();
  }

  /** Queues a context descriptor in a slot: MACLEN 14, L4T none, unless told. */
  context(options: { slot?: number; tci?: number; ipLength?: number; l4?: number } = {}): void {
    const { slot = 0, tci = 0, ipLength = 0, l4 = 3 } = options;
    this.descriptor([
      ((tci << 16) | (14 << 9) | ipLength) >>> 0,
      0,
      (1 << 29) | (2 << 20) | (l4 << 11),
      slot << 4,
    ]);
  }

  /** Writes four raw words at the tail. */
  descriptor(words: number[]): void {
    const d = (this.txRing >>> 2) + this.txTail * 4;
    for (let i = 0; i < 4; i++) this.memory.views.u32[d + i] = words[i];
    this.txTail = (this.txTail + 1) % this.txCount;
  }

  /** Queues a frame in one descriptor; @returns its index. Command bits: IFCS, RS unless told. */
  send(
    bytes: number[],
    options: {
      rs?: boolean;
      command?: number;
      status?: number;
      at?: number;
      payload?: number;
    } = {},
  ): number {
    const index = this.txTail;
    const { rs = true, command = 0, status = 0x80, at = this.txBuffers + index * 2048 } = options;
    this.memory.views.u8.set(bytes, at);
    const payload = options.payload ?? bytes.length;
    this.descriptor([
      iovaLow(at),
      1,
      (bytes.length |
        (3 << 20) |
        (1 << 24) |
        (1 << 25) |
        (rs ? 1 << 27 : 0) |
        (1 << 29) |
        command) >>>
        0,
      ((payload << 14) | status) >>> 0,
    ]);
    return index;
  }

  /** Queues a frame in several descriptors, `sizes` bytes each. */
  sendPieces(bytes: number[], sizes: number[]): number {
    const first = this.txTail;
    let from = 0;
    for (const [i, size] of sizes.entries()) {
      const at = this.txBuffers + this.txTail * 2048;
      this.memory.views.u8.set(bytes.slice(from, from + size), at);
      from += size;
      const last = i === sizes.length - 1;
      this.descriptor([
        iovaLow(at),
        1,
        (size | (3 << 20) | (last ? (1 << 24) | (1 << 27) : 0) | (1 << 25) | (1 << 29)) >>> 0,
        i === 0 ? ((bytes.length << 14) | 0x80) >>> 0 : 0,
      ]);
    }
    return first;
  }

  /** Rings the doorbell. */
  kick(queue = 0): void {
    this.setWord(0x2018 + 0x40 * queue, this.txTail);
  }

  /** DD of a tx descriptor. */
  done(index: number): boolean {
    return (this.memory.views.u32[(this.txRing >>> 2) + index * 4 + 3] & 1) === 1;
  }
}

export function iovaLow(heapOffset: number): number {
  return heapOffset >>> 0;
}

/** A NIC whose ports are recording ports unless told, and its VFs, brought up. */
export class Bench {
  readonly memory = new TestMemory();
  readonly clock = new TestClock();
  readonly nic: Nic;
  readonly wires: RecordingPort[];
  private readonly scratch: number;

  constructor(ports: NicPortOptions[], options: Partial<NicOptions> = {}) {
    this.wires = ports.map(() => new RecordingPort(this.memory));
    this.nic = new Nic({
      ports: ports.map((port, i) => ({ wire: this.wires[i], ...port })),
      memory: this.memory,
      clock: this.clock,
      ...options,
    });
    this.scratch = this.memory.take(16_384, 64);
  }

  /** A VF that was brought up. */
  vf(port: number, vf: number): RawVf {
    return new RawVf(this.nic.function(port, vf), this.memory).bringUp(this.nic);
  }

  /** Offers a frame from the wire. @returns OFFER.TAKEN or OFFER.LATER */
  offer(port: number, bytes: number[], closedLoop = false, skew = 0): number {
    this.memory.views.u8.set(bytes, this.scratch + skew);
    return this.nic.ingress(port).offer(this.scratch + skew, bytes.length, closedLoop);
  }

  row(port: number, vf: number): PortCounters {
    const row = this.nic.counters().find((r) => r.port === port && r.vf === vf);
    if (row === undefined) throw new Error('no such row');
    return row;
  }
}

export { type Ingress, OFFER };

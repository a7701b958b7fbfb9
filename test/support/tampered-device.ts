// A device that a test makes lie: a PF that refuses a message or never hears one,
// a function that is gone, counters that start elsewhere. Everything else is the
// device behind it, whichever backend that is. Offsets are written out again.

import type { Iova } from '../../src/memory/iova.ts';
import type { DmaMapping, VfioDevice } from '../../src/vfio/device.ts';

const VFMBMEM = 0x0200;
const VFMAILBOX = 0x02fc;
/** Octet counters: low word, high word. */
const OCTETS: readonly (readonly [number, number])[] = [
  [0x1020, 0x1024],
  [0x2020, 0x2024],
];

/** A device that lies where a test tells it to, and else is the one behind it. */
export class TamperedDevice implements VfioDevice {
  /** All reads give all ones, writes go nowhere. */
  gone = false;
  /** What the host is to have told: 1 removal, 2 error. */
  events = 0;
  /** Requests never reach the PF. */
  deaf = false;
  /** Opcodes whose ACK arrives as a NACK. */
  readonly refused = new Set<number>();
  /** Opcodes of the requests sent. */
  readonly requests: number[] = [];
  /** Called when a request is in the mailbox and the PF has not looked at it. */
  onRequest: ((opcode: number) => void) | undefined;
  /** Added to 32-bit counters by offset, and to 36-bit ones by the offset of their low word. */
  readonly bias = new Map<number, number>();
  closed = false;
  /** What is mapped now. */
  readonly mapped: DmaMapping[] = [];
  private readonly inner: VfioDevice;
  private readonly hold: (work: () => void) => void;
  private word0 = 0;

  /** @param hold runs its argument while the model stands still */
  constructor(inner: VfioDevice, hold: (work: () => void) => void) {
    this.inner = inner;
    this.hold = hold;
  }

  get address(): string {
    return this.inner.address;
  }
  get deviceId(): number {
    return this.inner.deviceId;
  }
  get iovaRanges(): VfioDevice['iovaRanges'] {
    return this.inner.iovaRanges;
  }
  get vectors(): number {
    return this.inner.vectors;
  }

  read32(offset: number): number {
    if (this.gone) return 0xffffffff;
    const value = this.inner.read32(offset);
    if (offset === VFMBMEM && value >= 0x80000000 && this.refused.has(value & 0xffff)) {
      return (value & 0x3fffffff) + 0x40000000;
    }
    for (const [low, high] of OCTETS) {
      const bias = this.bias.get(low);
      if (bias === undefined || (offset !== low && offset !== high)) continue;
      const octets = this.inner.read32(low) + this.inner.read32(high) * 2 ** 32 + bias;
      return offset === low ? octets % 2 ** 32 : Math.floor(octets / 2 ** 32) % 16;
    }
    return (value + (this.bias.get(offset) ?? 0)) % 2 ** 32;
  }

  write32(offset: number, value: number): void {
    if (this.gone) return;
    if (offset === VFMBMEM) this.word0 = value;
    if (offset !== VFMAILBOX || (value & 1) === 0) {
      this.inner.write32(offset, value);
      return;
    }
    const opcode = this.word0 & 0xffff;
    this.requests.push(opcode);
    if (this.deaf) {
      this.inner.write32(offset, value & ~1);
    } else if (this.onRequest === undefined) {
      this.inner.write32(offset, value);
    } else {
      this.hold(() => this.inner.write32(offset, value));
      this.onRequest(opcode);
    }
  }

  pageOffset(page: number): number {
    return this.inner.pageOffset(page);
  }
  readConfig16(offset: number): number {
    return this.gone ? 0xffff : this.inner.readConfig16(offset);
  }
  writeConfig16(offset: number, value: number): void {
    if (!this.gone) this.inner.writeConfig16(offset, value);
  }
  mapDma(mapping: DmaMapping): void {
    this.inner.mapDma(mapping);
    this.mapped.push(mapping);
  }
  unmapDma(iova: Iova, sizeBytes: number): void {
    this.inner.unmapDma(iova, sizeBytes);
    const index = this.mapped.findIndex((mapping) => mapping.iova === iova);
    this.mapped.splice(index, 1);
  }
  enableVectors(eventFds: readonly number[]): void {
    this.inner.enableVectors(eventFds);
  }
  disableVectors(): void {
    this.inner.disableVectors();
  }
  takeEvents(): number {
    const events = this.events | this.inner.takeEvents();
    this.events = 0;
    return events;
  }
  reset(): void {
    this.inner.reset();
  }
  close(): void {
    this.closed = true;
    this.inner.close();
  }
}

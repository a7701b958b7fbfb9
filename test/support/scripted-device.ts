// A VF that does only what a test tells it: registers are plain words, the
// mailbox keeps the rules of its control register, the PF is a function of the
// test. Time is a number. Every offset is written out again here: an error in
// src/hw must not agree with itself.

import type { IovaRange } from '../../src/memory/iova.ts';
import type { Clock } from '../../src/support/clock.ts';
import type { DmaMapping, VfioDevice } from '../../src/vfio/device.ts';

const VFCTRL = 0x0000;
const VFMBMEM = 0x0200;
const VFMAILBOX = 0x02fc;
const ALL_ONES = 0xffffffff;

/** Time that passes only when somebody sleeps. */
export class VirtualClock implements Clock {
  private us = 0;
  private readonly due: { atUs: number; run: () => void }[] = [];

  nowUs(): number {
    return this.us;
  }

  sleepUs(us: number): void {
    const endUs = this.us + us;
    for (;;) {
      const next = this.due.findIndex((event) => event.atUs <= endUs);
      if (next < 0) break;
      const [event] = this.due.splice(next, 1);
      this.us = Math.max(this.us, event.atUs);
      event.run();
    }
    this.us = endUs;
  }

  /** Runs something `us` microseconds from now, inside somebody's sleep. */
  after(us: number, run: () => void): void {
    this.due.push({ atUs: this.us + us, run });
    this.due.sort((a, b) => a.atUs - b.atUs);
  }
}

/** Answers a message of the VF: the words of the reply, or undefined to stay silent. */
export type ScriptedPf = (words: readonly number[]) => readonly number[] | undefined;

/** What a Linux PF of the 6.1 series says, in the ways a test wants it changed. */
export interface LinuxPfOptions {
  /** Words 1 and 2 of the RESET reply; undefined: no MAC assigned, RESET is answered with a NACK. */
  readonly mac?: readonly [number, number] | undefined;
  /** Opcodes to refuse. */
  readonly nack?: readonly number[];
  /** Newest accepted code of API_NEGOTIATE, 0 for API 1.0; codes 6 and above are refused anyway. */
  readonly apiCode?: number;
  readonly queues?: number;
  readonly linkEnabled?: boolean;
}

/** A PF script that accepts what a Linux PF accepts. */
export function linuxPf(options: LinuxPfOptions = {}): ScriptedPf {
  const { nack = [], apiCode = 5, queues = 2, linkEnabled = true } = options;
  const mac = 'mac' in options ? options.mac : ([0x00c00902, 0x0100] as const);
  return (words) => {
    const opcode = words[0] & 0xffff;
    const ack = [(words[0] | 0xa0000000) >>> 0, ...words.slice(1)];
    const refusal = [(words[0] | 0x60000000) >>> 0];
    if (opcode === 0x01) {
      return mac === undefined ? [0x40000001, 0, 0, 0] : [0x80000001, mac[0], mac[1], 0];
    }
    if (nack.includes(opcode)) return refusal;
    if (opcode === 0x08) {
      const code = words[1];
      return code === 1 || code > apiCode || code > 5 ? refusal : ack;
    }
    if (opcode === 0x09) return [ack[0], queues, queues, 0, 0];
    if (opcode === 0x10) return [ack[0], linkEnabled ? 1 : 0];
    return ack;
  };
}

/** A VF whose registers are plain words and whose PF is a function of the test. */
export class ScriptedDevice implements VfioDevice {
  readonly address = 'scripted:0';
  deviceId = 0x10ed;
  readonly iovaRanges: readonly IovaRange[] = [{ first: 0, last: 2 ** 39 - 1 }];
  readonly vectors = 3;
  readonly clock = new VirtualClock();
  /** BAR0 words by offset; what was never written reads 0. */
  readonly words = new Map<number, number>();
  /** Values that a register gives on its next reads, before the stored one counts again. */
  readonly queued = new Map<number, number[]>();
  /** Overrides what a register reads as. */
  readonly readAs = new Map<number, (stored: number) => number>();
  /** Messages of the VF, as many words as it wrote since the one before. */
  readonly messages: number[][] = [];
  /** Every register write, in order. */
  readonly writes: [offset: number, value: number][] = [];
  /** Calls other than register accesses, in order. */
  readonly calls: string[] = [];
  readonly mapped: DmaMapping[] = [];
  pf: ScriptedPf = linuxPf();
  /** All reads give all ones. */
  gone = false;
  /** Methods that throw, by name. */
  readonly broken = new Set<string>();
  command = 0;
  /** Writes of ACK to VFMAILBOX. */
  acks = 0;
  /** RSTD shows after VFCTRL.RST. */
  rstd = false;
  /** Bits of VFMAILBOX but VFU: PFU 8, PFSTS 0x10, PFACK 0x20, RSTI 0x40, RSTD 0x80. */
  control = 0;
  /** Bits of DEVICE_EVENT: removal 1, error 2. */
  events = 0;
  private owned = false;
  private wordsWritten = 0;
  private closed = false;

  get isClosed(): boolean {
    return this.closed;
  }

  /** The PF writes a message and signals it. */
  deliver(words: readonly number[]): void {
    words.forEach((word, i) => {
      this.words.set(VFMBMEM + 4 * i, word >>> 0);
    });
    this.control |= 0x10;
  }

  /** Values written to one register, in order. */
  written(offset: number): number[] {
    return this.writes.filter(([at]) => at === offset).map(([, value]) => value);
  }

  /** Opcodes of the VF's messages, in order. */
  opcodes(): number[] {
    return this.messages.map((words) => words[0] & 0xffff);
  }

  read32(offset: number): number {
    this.use('read32');
    if (this.gone) return ALL_ONES;
    if (offset === VFMAILBOX) {
      const value = this.control | (this.owned ? 0x04 : 0);
      this.control &= ~0xb0;
      return value;
    }
    const next = this.queued.get(offset)?.shift();
    if (next !== undefined) return next;
    const stored = this.words.get(offset) ?? 0;
    return this.readAs.get(offset)?.(stored) ?? stored;
  }

  write32(offset: number, value: number): void {
    this.use('write32');
    if (offset % 4 !== 0 || offset < 0 || offset >= 0x4000 || value !== value >>> 0) {
      throw new Error(`bad write of ${value} to ${offset}`);
    }
    this.writes.push([offset, value]);
    if (this.gone) return;
    if (offset === VFMAILBOX) this.writeControl(value);
    else if (offset !== VFCTRL) this.words.set(offset, value);
    else if (this.rstd) this.control |= 0x80;
    if (offset >= VFMBMEM && offset < VFMBMEM + 64) {
      if (!this.owned) throw new Error('the VF wrote to the message buffer without owning it');
      this.wordsWritten = Math.max(this.wordsWritten, (offset - VFMBMEM) / 4 + 1);
    }
  }

  pageOffset(): number {
    return -1;
  }

  readConfig16(offset: number): number {
    this.use('readConfig16');
    return offset === 4 ? this.command : 0;
  }

  writeConfig16(offset: number, value: number): void {
    this.use('writeConfig16');
    if (offset === 4) this.command = value;
  }

  mapDma(mapping: DmaMapping): void {
    this.use('mapDma');
    this.calls.push('mapDma');
    this.mapped.push(mapping);
  }

  unmapDma(iova: number): void {
    this.use('unmapDma');
    this.calls.push('unmapDma');
    const index = this.mapped.findIndex((mapping) => mapping.iova === iova);
    if (index < 0) throw new Error('not mapped');
    this.mapped.splice(index, 1);
  }

  enableVectors(): void {
    this.use('enableVectors');
  }

  disableVectors(): void {
    this.use('disableVectors');
    this.calls.push('disableVectors');
  }

  takeEvents(): number {
    this.use('takeEvents');
    const { events } = this;
    this.events = 0;
    return events;
  }

  reset(): void {
    this.use('reset');
    this.calls.push('reset');
  }

  close(): void {
    if (this.closed) return;
    this.calls.push('close');
    if (this.broken.has('close')) throw new Error('close is broken');
    this.closed = true;
  }

  private writeControl(value: number): void {
    this.owned = (value & 0x04) !== 0 && (this.control & 0x08) === 0;
    if ((value & 0x02) !== 0) this.acks++;
    if ((value & 0x01) === 0) return;
    const words: number[] = [];
    for (let i = 0; i < this.wordsWritten; i++) words.push(this.words.get(VFMBMEM + 4 * i) ?? 0);
    this.wordsWritten = 0;
    this.messages.push(words);
    const reply = this.pf(words);
    if (reply !== undefined) this.deliver(reply);
  }

  private use(method: string): void {
    if (this.closed) throw new Error(`${method} after close`);
    if (this.broken.has(method)) throw new Error(`${method} is broken`);
  }
}

// The pcap port: plays a capture into the port and writes what leaves the chip to
// another. Time stamps written are the model's clock, which starts where it likes; those
// read are not used (pacing is by rate=, else as fast as the VF takes frames).

import { CaptureInput } from '../../support/pcap/input.ts';
import { PcapReader } from '../../support/pcap/reader.ts';
import { PcapWriter } from '../../support/pcap/writer.ts';
import {
  nothingPlayed,
  type PlayRule,
  playedLength,
  TAG_BYTES,
  writePlayed,
} from '../../traffic/captured-frame.ts';
import { type Pacer, wirePacer } from '../../traffic/pacer.ts';
import { OFFER, type PortCounters, type WirePort } from '../types.ts';
import { countedVf, type FinitePort, type WireContext } from './context.ts';
import type { PcapSpec } from './spec.ts';

/** Bytes of the longest frame that is played, without CRC and VLAN tag. */
const MAX_PLAYED = 16_384;

/** Plays one capture and writes another. */
export class PcapPort implements WirePort, FinitePort {
  readonly spec: string;
  readonly linkUp = true;
  /** Frames of the capture that were not offered: without an Ethernet header, or longer than 16,384 bytes. */
  skipped = 0;
  /** Frames that left the chip and are not known to be in the file: all that a failed write was to bring there. */
  unwritten = 0;
  private readonly context: WireContext;
  private readonly pcap: PcapSpec;
  private readonly rule: PlayRule;
  private readonly rewrite: boolean;
  private readonly pacer: Pacer | null;
  private readonly staging: number;
  private readonly offered: Float64Array;
  private readonly input: CaptureInput;
  private reader: PcapReader | null;
  private writer: PcapWriter | null;
  private rounds = 0;
  /** Whether there was a frame to offer; a file without any is not played for ever. */
  private fruitful = false;
  /** Length of the frame that waits in `staging`, 0 for none. */
  private staged = 0;

  /** @throws RangeError for a VF that does not exist; VfioError, PcapError where a file cannot be used */
  constructor(spec: string, pcap: PcapSpec, context: WireContext) {
    if (pcap.vf >= context.vfs) {
      throw new RangeError(
        `port spec "${spec}": expected vf= below ${context.vfs}, the port's number of VFs, got ${pcap.vf}`,
      );
    }
    this.spec = spec;
    this.pcap = pcap;
    this.context = context;
    this.rule = { maxLength: MAX_PLAYED, pad: pcap.pad };
    this.rewrite = (pcap.dst ?? (context.vfs === 1 ? 'vf' : 'keep')) === 'vf';
    this.pacer = pcap.rate === null ? null : wirePacer(context.clock, pcap.rate);
    this.offered = new Float64Array(context.vfs);
    this.staging = context.allocate(MAX_PLAYED + TAG_BYTES);
    this.input = new CaptureInput(pcap.input);
    if (pcap.loop !== 1 && !this.input.regular) {
      this.input.close();
      throw new RangeError(
        `port spec "${spec}": expected a file to play several times, got a FIFO, pipe or device; leave out loop=`,
      );
    }
    this.reader = new PcapReader(pcap.input, this.input);
    try {
      this.writer = pcap.output === null ? null : new PcapWriter(pcap.output);
    } catch (error) {
      this.reader.close();
      throw error;
    }
  }

  /** True once the last frame of the last round was offered, or the file turned out damaged. */
  get done(): boolean {
    return this.reader === null && this.staged === 0;
  }

  step(budget: number): number {
    if (this.done) return 0;
    const n = this.pacer === null ? budget : this.pacer.allowance(budget);
    let sent = 0;
    while (sent < n && (this.staged > 0 || this.stage()) && this.offer()) sent++;
    this.pacer?.sent(sent);
    return sent;
  }

  transmit(offsets: Int32Array, lengths: Int32Array, n: number, _vf: number): void {
    if (this.writer === null) {
      if (this.pcap.output !== null) this.unwritten += n;
      return;
    }
    const us = this.context.clock.nowUs();
    const seconds = Math.floor(us / 1e6);
    const nanoseconds = Math.floor((us - seconds * 1e6) * 1000);
    const { u8 } = this.context.views();
    for (let i = 0; i < n; i++) {
      const offset = offsets[i] >>> 0;
      try {
        this.writer.append(u8.subarray(offset, offset + lengths[i]), seconds, nanoseconds);
      } catch (error) {
        this.unwritten += n - i;
        this.report(error);
        this.closeOutput();
        return;
      }
    }
  }

  addCounters(vf: number, counters: PortCounters): void {
    counters.offered += this.offered[vf];
    if (vf !== this.pcap.vf) return;
    counters.skipped += this.skipped;
    counters.unwritten += this.unwritten;
  }

  /** Writes the rest out; a disk error goes to `onError`. Idempotent. */
  close(): void {
    this.endInput();
    this.staged = 0;
    this.closeOutput();
  }

  /** Offers the staged frame. @returns false where it has to wait */
  private offer(): boolean {
    const { u8 } = this.context.views();
    if (this.rewrite) {
      const mac = this.context.vfMac(this.pcap.vf);
      // Nobody to send to as long as the VF has no address.
      if (mac.every((byte) => byte === 0)) return false;
      u8.set(mac, this.staging);
    }
    const closedLoop = this.pacer === null;
    const vf = this.rewrite ? this.pcap.vf : countedVf(this.context, u8, this.staging);
    const result = this.context.ingress.offer(this.staging, this.staged, closedLoop);
    if (result === OFFER.LATER) return false;
    this.offered[vf]++;
    this.staged = 0;
    return true;
  }

  /** Reads the next frame into `staging`. @returns false at the end, and as long as none has come */
  private stage(): boolean {
    try {
      while (this.reader !== null) {
        const frame = this.reader.poll();
        if (frame === undefined) return false;
        if (frame === null) {
          this.nextRound();
          continue;
        }
        this.staged = playedLength(frame, this.rule);
        this.fruitful ||= this.staged > 0;
        if (this.staged > 0) {
          writePlayed(frame, this.staged, this.context.views().u8, this.staging);
          return true;
        }
        this.skipped++;
      }
    } catch (error) {
      this.endInput();
      this.report(error);
    }
    return false;
  }

  private nextRound(): void {
    this.rounds++;
    const again = this.pcap.loop === 0 || this.rounds < this.pcap.loop;
    if (again && this.fruitful) {
      this.input.rewind();
      this.reader = new PcapReader(this.pcap.input, this.input);
    } else this.endInput();
    // An input of no frames at all is how a port is told to capture only.
    if (!this.fruitful && (this.skipped > 0 || this.pcap.output === null)) {
      this.report(nothingPlayed(this.pcap.input, this.skipped));
    }
  }

  private endInput(): void {
    this.reader?.close();
    this.reader = null;
  }

  private closeOutput(): void {
    const { writer } = this;
    if (writer === null) return;
    this.writer = null;
    try {
      writer.close();
    } catch (error) {
      this.report(error);
    }
    this.unwritten += writer.frames - writer.written;
  }

  private report(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.context.onError(message);
  }
}

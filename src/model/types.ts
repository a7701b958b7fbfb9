// The shapes by which the rooms of the model meet, so that none of vf/, pf/, engine/ and switch/ imports
// another: what a port is to the switch, a VF to its backend, to the PF and to its engine, the engine to the
// switch. The data they share: layout.ts (heap blocks), frame.ts, tables.ts, recorder.ts.

import type { ArenaViews } from '../memory/layout.ts';
import type { FrameBatch } from './frame.ts';
import type { Recorder } from './recorder.ts';

/** Drops and deliveries of one VF on one port, as design's `ports` JSON reports them. */
export interface PortCounters {
  /** Frames the port's source offered to the switch for this VF. */
  offered: number;
  /** Frames written to this VF's rx rings. */
  delivered: number;
  missedNoDescriptor: number;
  /** The VF or the queue was not enabled. */
  missedDisabled: number;
  /** Frames of this VF dropped by anti-spoofing. */
  spoofed: number;
  /** Frames no filter of the switch accepted. */
  filtered: number;
  iommuFaults: number;
  sinkReceived: number;
  sinkGaps: number;
  sinkDuplicates: number;
  sinkCorrupt: number;
  /** Frames of a capture that were not offered. */
  skipped: number;
  /** Frames meant for a capture that are not known to have reached it. */
  unwritten: number;
}

/** What happened to a frame that a port offered. */
export const OFFER = {
  /** Delivered to at least one VF, or dropped and counted. Done with. */
  TAKEN: 0,
  /** Closed loop only: no descriptor, or not enabled yet; nothing was counted; offer it again later. */
  LATER: 1,
} as const;

/** The chip as a wire port sees it. */
export interface Ingress {
  /**
   * Offers one frame from the wire to the port's switch. The bytes are copied before it returns.
   * @param offset byte offset of the frame in the heap (the arena)
   * @param length bytes without CRC
   * @param closedLoop true: where a target queue has no room nothing is dropped and LATER is returned
   * @returns OFFER.TAKEN or OFFER.LATER
   */
  offer(offset: number, length: number, closedLoop: boolean): number;
  /**
   * Asks where the next frames of one unicast destination, untagged, may be written without a copy. Frames that are not
   * committed then were never there.
   * @param destination0 bytes 0 to 3 of the frames; @param destination1 bytes 4 and 5
   * @param longest bytes of the longest of them
   * @param n 1 up to LOOP_BATCH
   * @returns how many heap words are in the NIC's `targets`; 0: `offer` the next frame instead, which says why
   */
  claim(destination0: number, destination1: number, longest: number, n: number): number;
  /** Hands over the frames written to the first n places of the last claim, of `sizes` bytes. */
  commit(n: number): void;
}

/** What is plugged into a port: a generator, a TAP, a pcap file, a cable, nothing. */
export interface WirePort {
  /** The SPEC it was made from. */
  readonly spec: string;
  /** Link state that the VFs see in VFLINKS. */
  readonly linkUp: boolean;
  /**
   * Offers up to `budget` frames to the switch.
   * @returns frames moved
   */
  step(budget: number): number;
  /**
   * Takes n frames that leave the chip: those of the NIC's batch. They are the port's only until it returns.
   * @param offsets byte offsets in the heap
   * @param lengths bytes without CRC, already padded to 60
   * @param vf VF that sent them
   */
  transmit(offsets: Int32Array, lengths: Int32Array, n: number, vf: number): void;
  /** The cable is pulled out of the port, or put back: for a wire whose other end notices. Absent: there is none. */
  setPlugged?(plugged: boolean): void;
  /** Adds what the port itself counts (sink figures, offered) for a VF. */
  addCounters(vf: number, counters: PortCounters): void;
  close(): void;
}

/** Bytes of a VF's config space. */
export const CONFIG_SIZE = 256;

/** PF behaviours the model knows. */
export type PfPersonality = 'linux-6.1' | 'linux-7.3' | 'dpdk';

/**
 * One VF as a backend (in-process or vfio-user server) drives it. Offsets into BAR0 are bytes, multiples of 4.
 * A trapped access to page 0, an unmap, a vector change and a reset are barriers: before they return the
 * engine has taken in every earlier store and touches no ring or mapping that is being removed.
 */
export interface VfFunction {
  readonly port: number;
  readonly vf: number;
  /** Heap byte offset of the 16 KiB that hold BAR0; pages 1 and 2 may be shared with a driver. */
  readonly barOffset: number;
  mmioRead(offset: number): number;
  mmioWrite(offset: number, value: number): void;
  /** Config space as vfio shows it, 256 bytes; 1, 2 or 4 bytes at a time. */
  configRead(offset: number, sizeBytes: number): number;
  configWrite(offset: number, sizeBytes: number, value: number): void;
  /**
   * Makes [iova, iova + sizeBytes) reach the heap at `heapOffset`; -1 for a mapping without memory behind it.
   * @returns 0, or -errno: -17 EEXIST on overlap, -22 EINVAL on misalignment
   */
  dmaMap(
    iova: number,
    sizeBytes: number,
    heapOffset: number,
    readable: boolean,
    writable: boolean,
  ): number;
  /**
   * type1 semantics: drops every mapping wholly inside the range; succeeds when there is none.
   * @returns bytes unmapped, or -22 where the range would cut a mapping
   */
  dmaUnmap(iova: number, sizeBytes: number): number;
  /** Where to signal vector n; null disconnects. */
  connectVector(vector: number, signal: (() => void) | null): void;
  /** FLR. */
  functionReset(): void;
  /** The driver's process is gone: reset, forget maps and vectors. */
  disconnect(): void;
  /** The function leaves the bus: disconnected, and every word of its BAR reads all ones. */
  vanish(): void;
  /** It is back, as after power-on, but for what counts frames. */
  restore(): void;
}

// ---- a VF and its datapath ----

/** The datapath of one VF, as its registers see it. */
export interface QueueEngine extends Pick<VfFunction, 'dmaMap' | 'dmaUnmap'> {
  /** Takes in every earlier store on pages 1 and 2 (enable edges, tails) and brings RDH, TDH and counters up to date there. */
  barrier(): void;
  /**
   * VF reset: stops all queues, clears ENABLE in the BAR's RXDCTL and TXDCTL words, forgets ring state and tx
   * contexts. The registers that survive a reset (docs/82599-vf.md sec 1.3) keep their values.
   */
  queuesReset(): void;
  /** Drops all maps. */
  dmaClear(): void;
}

/** RSS registers that the VFs of X550 and later have of their own. */
export interface OwnRss {
  /** VFMRQC. */
  mrqc: number;
  /** VFRSSRK: 10 words. */
  readonly key: Uint32Array;
  /** VFRETA: 16 words. */
  readonly table: Uint32Array;
}

/** The VF as its engine sees it: a live object, read at each step. */
export interface EngineHost extends Pick<VfFunction, 'port' | 'vf' | 'barOffset'> {
  /** False while the function has left the bus: its BAR words are all ones, and mean nothing. */
  readonly present: boolean;
  /** Queues of each kind that the PF gives this VF. */
  readonly queueLimit: number;
  /** COMMAND bit 2. While false the function does no DMA: no descriptor is read or written. */
  readonly busMaster: boolean;
  /** VFPSRTYPE; its RQPL says how many queues RSS spreads over. */
  readonly psrtype: number;
  /** Traffic classes of the port, 1 for none. */
  readonly trafficClasses: number;
  /** RXDCTL.RLPML exists: X540 and later. */
  readonly limitsFrames: boolean;
  /** Undefined where RSS is the PF's. */
  readonly ownRss: OwnRss | undefined;
  /** Where the engine reports interrupt causes, after the write-back that caused them. */
  readonly interrupts: { raise(cause: 'rx' | 'tx', queue: number): void };
  readonly recorder: Recorder;
}

// ---- a VF and its PF ----

/** What the PF can do to the hardware of one VF. */
export interface VfHardware {
  readonly mailbox: PfMailbox;
  /** Reads and clears this VF's VFLRE bit: it was reset by VFCTRL.RST or FLR since the last call. */
  takeResetEvent(): boolean;
  /** Clears ENABLE in each VFTXDCTL that is set (the PF's part of a VF reset). */
  stopTxQueues(): void;
  /** Zeroes VFTDWBAL and VFTDWBAH of all queues. */
  clearHeadWriteBack(): void;
  /** CTRL.RST of the port: queues stopped, interrupt registers lost, mailbox in RSTI. */
  portReset(): void;
  /** CTRL_EXT.PFRSTD: RSTI drops, RSTD sets. */
  portResetDone(): void;
}

/** The PF's side of a VF's mailbox: single steps, so that the VF never sees PFU set. */
export interface PfMailbox {
  /** A request waits and can be read. It stays pending while the VF holds the buffer. */
  readonly hasRequest: boolean;
  /** Reads a request whole and acknowledges it: PFMAILBOX.ACK. */
  takeRequest(): Uint32Array;
  /** Reads and clears MBVFICR.VFACK. */
  takeAck(): boolean;
  /**
   * Locks, discards what the VF sent meanwhile, writes, and sets PFSTS (linux ixgbe_write_mbx_pf).
   * @returns false where the VF holds the buffer; then nothing was written
   */
  post(message: readonly number[]): boolean;
}

// ---- the engine and the switch ----

/** What became of a frame for a VF; nothing but a fault was counted unless DELIVERED. */
export const DELIVERED = 0;
export const NO_DESCRIPTOR = 1;
export const DISABLED = 2;
/** A DMA fault: recorded and counted, the frame is gone. */
export const FAULT = 3;

/** The rx half of the engine: takes one frame to a queue of a VF. */
export interface RxPath {
  /**
   * Delivers one frame to a VF.
   * @param v heap word of the VF block
   * @param w heap word of the frame's first byte
   * @param length bytes without CRC, 60 or more
   * @param tagged 1 where bytes 12 and 13 are 0x8100, else 0
   * @param status RX_STATUS bits PIF (matched by hash only) and LB (from another VF), or 0
   * @returns DELIVERED, NO_DESCRIPTOR, DISABLED or FAULT
   */
  deliver(v: number, w: number, length: number, tagged: number, status: number): number;
  /** What `deliver` would say, DELIVERED meaning that there is room; changes nothing. */
  room(v: number, w: number, length: number, tagged: number): number;
}

/** The loops over plain frames, which are fast and decide nothing: they stop at the first frame that is not plain. */
export interface SwitchLoops {
  /**
   * Finds where the next frames go: buffers of a plain rx queue, each with room for `longest` bytes, 8-byte aligned.
   * @param v heap word of the VF block
   * @returns how many of `n` are in `targets`; 0 where the first needs `deliver`
   */
  claim(v: number, longest: number, n: number): number;
  /** Hands over the first n claimed buffers, whose frames (`sizes` bytes) have been written. */
  commit(v: number, n: number): void;
  /**
   * How far the frames of the batch from index `i` on go the same way: untagged, with this source and destination.
   * Leaves their octets, CRC included, in `octets[0]`.
   * @param sourceHigh bytes 6 and 7, or -1 for any source; @param sourceLow bytes 8 to 11
   * @param destination0 bytes 0 to 3; @param destination1 bytes 4 and 5
   * @returns the index of the first that does not
   */
  sameRoute(
    i: number,
    n: number,
    sourceHigh: number,
    sourceLow: number,
    destination0: number,
    destination1: number,
  ): number;
  readonly octets: Int32Array;
}

/** The heap as the engine and the switch share it. Its views change when the heap grows. */
export interface SwitchMemory {
  readonly heap: Int32Array;
  readonly bytes: Uint8Array;
  readonly views: ArenaViews;
  readonly batch: FrameBatch;
  readonly loops: SwitchLoops;
}

/** The switch as the tx half of the engine sees it: takes the n frames of a VF that stand in the batch. */
export interface FrameForwarder {
  forward(vf: number, n: number): void;
}

// Plays a capture for `ixy pktgen --replay`: with its timing, or as fast as it is asked for frames.
// The source MAC becomes the VF's, which may send no other. Frames are read while it plays, so a
// capture may be of any size; this is no hot path, PcapReader makes an object a frame.

import { ETHER_HEADER, MIN_FRAME_WITHOUT_CRC } from '../../hw/descriptors.ts';
import type { Mempool } from '../../memory/mempool.ts';
import { packetViews } from '../../memory/packet-views.ts';
import type { PcapFrame } from '../../support/pcap/format.ts';
import type { PcapReader } from '../../support/pcap/reader.ts';
import type { ReadClock } from '../../traffic/pacer.ts';
import type { FrameSource } from './generate.ts';

const MAC_BYTES = 6;

/** What is played, and how. */
export interface ReplayOptions {
  readonly mempool: Mempool;
  readonly reader: Pick<PcapReader, 'next'>;
  readonly source: Uint8Array;
  /** null: as captured. */
  readonly destination: Uint8Array | null;
  /** Bytes without CRC; longer frames are skipped. */
  readonly maxLength: number;
  /** Keeps the capture's timing by this clock; null: frames are always due. */
  readonly clock: ReadClock | null;
  /** A frame is skipped. */
  readonly onSkip: () => void;
}

/**
 * Makes a source of captured frames. A frame that the capture cut short is filled up with zeros to its length
 * on the wire; one that is older than the one before it goes at once.
 * @returns a source whose `fill` throws VfioError or PcapError where the file cannot be read on
 */
export function makeReplay(options: ReplayOptions): FrameSource {
  const { mempool, reader, source, destination, maxLength, clock, onSkip } = options;
  const views = packetViews(mempool);
  const now = new Float64Array(1);
  let waiting: PcapFrame | null = null;
  let first: PcapFrame | null = null;
  let startUs = 0;
  let ended = false;
  /** What stopped the reading; what was read before it is sent first. */
  let failure: Error | null = null;

  /** @returns the next frame that can be sent, null at the end */
  function next(): PcapFrame | null {
    for (;;) {
      const frame = reader.next();
      if (frame === null) return null;
      // Shorter frames were captured before they were padded.
      const length = Math.max(frame.data.length, frame.originalLength);
      if (frame.data.length >= ETHER_HEADER && length <= maxLength) return frame;
      onSkip();
    }
  }

  /** Microseconds after the first frame. */
  function dueUs(frame: PcapFrame, start: PcapFrame): number {
    return (frame.seconds - start.seconds) * 1e6 + (frame.nanoseconds - start.nanoseconds) / 1000;
  }

  function write(buf: number, { data, originalLength }: PcapFrame): void {
    const offset = views.offset(buf);
    // Shorter frames were captured before they were padded.
    const length = Math.max(MIN_FRAME_WITHOUT_CRC, data.length, originalLength);
    views.bytes.set(data, offset);
    views.bytes.fill(0, offset + data.length, offset + length);
    if (destination !== null) views.bytes.set(destination, offset);
    views.bytes.set(source, offset + MAC_BYTES);
    views.length[buf] = length;
  }

  /** Sees to it that a frame waits. @returns false at the end */
  function stage(): boolean {
    if (waiting !== null) return true;
    if (failure !== null || ended) return false;
    try {
      waiting = next();
    } catch (error) {
      failure = error as Error;
    }
    ended = waiting === null && failure === null;
    return waiting !== null;
  }

  function fill(bufs: Int32Array, n: number): number {
    clock?.(now);
    let count = 0;
    while (count < n && stage() && waiting !== null) {
      if (first === null) {
        first = waiting;
        startUs = now[0];
      }
      if (clock !== null && now[0] - startUs < dueUs(waiting, first)) break;
      const buf = mempool.take();
      if (buf === 0) break;
      write(buf, waiting);
      waiting = null;
      bufs[count++] = buf;
    }
    if (count === 0 && waiting === null && failure !== null) throw failure;
    return count;
  }

  return {
    fill,
    get ended() {
      return ended;
    },
    overwritten: () => {},
  };
}

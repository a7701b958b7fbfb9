// Plays a capture for `ixy pktgen --replay`: with its timing, or as fast as it is asked for frames. The source MAC
// becomes the VF's, which may send no other. Frames are read while it plays, so a capture may be of any size, and come
// from a pipe whose writer is slow. This is no hot path: PcapReader makes an object a frame.

import type { Mempool } from '../../memory/mempool.ts';
import { packetViews } from '../../memory/packet-views.ts';
import type { PcapFrame } from '../../support/pcap/format.ts';
import type { PcapReader } from '../../support/pcap/reader.ts';
import {
  nothingPlayed,
  type PlayRule,
  playedLength,
  writePlayed,
} from '../../traffic/captured-frame.ts';
import type { ReadClock } from '../../traffic/pacer.ts';
import type { FrameSource } from './generate.ts';

const MAC_BYTES = 6;

/** What is played, and how. */
export interface ReplayOptions extends PlayRule {
  readonly mempool: Mempool;
  readonly reader: Pick<PcapReader, 'poll' | 'path'>;
  /** MAC of the VF; read for every frame. */
  readonly source: Uint8Array;
  /** null: as captured. */
  readonly destination: Uint8Array | null;
  /** Keeps the capture's timing by this clock; null: frames are always due. */
  readonly clock: ReadClock | null;
  /** A frame is skipped. */
  readonly onSkip: () => void;
}

/**
 * Makes a source of captured frames. A frame that is older than the one before it goes at once.
 * @returns a source whose `fill` throws VfioError or PcapError where the capture cannot be read on, or had no frame
 *   to play
 */
export function makeReplay(options: ReplayOptions): FrameSource {
  const { mempool, reader, source, destination, clock, onSkip } = options;
  const views = packetViews(mempool);
  const now = new Float64Array(1);
  let waiting: PcapFrame | null = null;
  /** Length of the frame that waits, as it is played. */
  let length = 0;
  let skipped = 0;
  let first: PcapFrame | null = null;
  let startUs = 0;
  let ended = false;
  /** What stopped the reading; what was read before it is sent first. */
  let failure: Error | null = null;

  /** Microseconds after the first frame. */
  function dueUs(frame: PcapFrame, start: PcapFrame): number {
    return (frame.seconds - start.seconds) * 1e6 + (frame.nanoseconds - start.nanoseconds) / 1000;
  }

  function write(buf: number, frame: PcapFrame): void {
    const offset = views.offset(buf);
    writePlayed(frame, length, views.bytes, offset);
    if (destination !== null) views.bytes.set(destination, offset);
    views.bytes.set(source, offset + MAC_BYTES);
    views.length[buf] = length;
  }

  /** Reads on to a frame that can be played. @returns null where there is none, or none yet */
  function read(): PcapFrame | null {
    for (let frame = reader.poll(); frame !== undefined; frame = reader.poll()) {
      if (frame === null) {
        if (first === null) throw nothingPlayed(reader.path, skipped);
        ended = true;
        return null;
      }
      length = playedLength(frame, options);
      if (length > 0) return frame;
      skipped++;
      onSkip();
    }
    return null;
  }

  /** Sees to it that a frame waits. @returns false at the end, and as long as none has come */
  function stage(): boolean {
    if (waiting !== null) return true;
    if (failure !== null || ended) return false;
    try {
      waiting = read();
    } catch (error) {
      failure = error as Error;
    }
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
    renew: () => {},
  };
}

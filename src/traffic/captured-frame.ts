// The one rule by which frames of a capture are played: by `ixy pktgen --replay` and by the model's pcap: ports.

import { ETHER_HEADER, MIN_FRAME_WITHOUT_CRC } from '../hw/descriptors.ts';
import { PcapError, type PcapFrame } from '../support/pcap/format.ts';

const TYPE_OFFSET = 12;
/** Bytes of a VLAN tag, by which a frame may be longer than `maxLength`. */
export const TAG_BYTES = 4;

/** The rule as a help text has it. */
export const PLAY_RULE =
  'Captures are classic pcap of Ethernet. What a snaplen cut is played as captured, unless it is to be padded; more than was on\nthe wire is cut off; short frames are filled up to 60 bytes; the 4 bytes of a VLAN tag count nowhere. What is too long is skipped.';

/** How captured frames are played. */
export interface PlayRule {
  /** Bytes without CRC and without VLAN tag; longer frames are not played. */
  readonly maxLength: number;
  /** Frames that a snaplen cut are filled up with zeros to their length on the wire. */
  readonly pad: boolean;
}

/**
 * How long a captured frame is when it is played. One that a snaplen cut is as long as its captured bytes, or is
 * filled up; one with more captured bytes than were on the wire is cut to those; a short one gets its padding.
 * @returns bytes without CRC; 0 for what is not played: less than an Ethernet header, or too long
 */
export function playedLength(frame: PcapFrame, { pad, maxLength }: PlayRule): number {
  const { data, originalLength } = frame;
  const captured = Math.min(data.length, originalLength);
  const length = Math.max(captured, pad ? originalLength : 0, MIN_FRAME_WITHOUT_CRC);
  const tagged = data[TYPE_OFFSET] === 0x81 && data[TYPE_OFFSET + 1] === 0;
  const longest = maxLength + (tagged ? TAG_BYTES : 0);
  return captured < ETHER_HEADER || length > longest ? 0 : length;
}

/** Writes a frame as it is played into bytes[offset, offset + length), where playedLength gave `length`. */
export function writePlayed(
  { data, originalLength }: PcapFrame,
  length: number,
  bytes: Uint8Array,
  offset: number,
): void {
  const captured = Math.min(data.length, originalLength);
  bytes.set(data.subarray(0, captured), offset);
  bytes.fill(0, offset + captured, offset + length);
}

/**
 * The error for a capture of which nothing could be played.
 * @param skipped its frames
 */
export function nothingPlayed(path: string, skipped: number): PcapError {
  const got = skipped === 0 ? 'none; capture again' : `only ${skipped} too long or too short`;
  return new PcapError(path, `expected frames to play, got ${got}`);
}

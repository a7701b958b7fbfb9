// A frame as one line for a person, much like that of `tcpdump -e`: time, MACs, length of the frame, VLAN,
// what is inside. Knows ARP, IPv4, IPv6, UDP, TCP, ICMP; everything else shows as its number.

import { formatMac } from '../../support/mac.ts';

const ETHER_BYTES = 14;
const VLAN_TYPES: readonly number[] = [0x8100, 0x88a8];
const ARP = 0x0806;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
/** Below, the field is the length of an 802.3 frame. */
const FIRST_TYPE = 0x0600;
const TCP = 6;
const UDP = 17;
const UDP_HEADER = 8;
const WITH_PORTS: readonly number[] = [TCP, UDP, 132];
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  2: 'IGMP',
  [TCP]: 'TCP',
  [UDP]: 'UDP',
  58: 'ICMPv6',
  132: 'SCTP',
};
/** Flags of TCP from bit 0 on, as tcpdump writes them. */
const TCP_FLAGS = 'FSRP.U';

/** Big-endian reads that know where the frame ends. */
class Reader {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  has(at: number, bytes: number): boolean {
    return at + bytes <= this.bytes.length;
  }

  u8(at: number): number {
    return this.bytes[at] ?? 0;
  }

  u16(at: number): number {
    return this.u8(at) * 256 + this.u8(at + 1);
  }

  mac(at: number): string {
    return formatMac(this.bytes.subarray(at, at + 6));
  }

  ipv4(at: number): string {
    return Array.from(this.bytes.subarray(at, at + 4)).join('.');
  }

  /** RFC 5952: the longest run of two zero groups or more becomes "::". */
  ipv6(at: number): string {
    const groups = Array.from({ length: 8 }, (_, i) => this.u16(at + i * 2).toString(16));
    const text = groups.join(':');
    const runs = text.match(/\b0(?::0)+\b/g) ?? [];
    const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '');
    if (longest === '') return text;
    const start = text.search(new RegExp(`\\b${longest}\\b`));
    return `${text.slice(0, start).replace(/:$/, '')}::${text.slice(start + longest.length).replace(/^:/, '')}`;
  }
}

function arp(frame: Reader, at: number): string {
  if (!frame.has(at, 28)) return 'ARP, cut short';
  const sender = frame.ipv4(at + 14);
  const target = frame.ipv4(at + 24);
  switch (frame.u16(at + 6)) {
    case 1:
      return `ARP who-has ${target} tell ${sender}`;
    case 2:
      return `ARP ${sender} is-at ${frame.mac(at + 8)}`;
    default:
      return `ARP operation ${frame.u16(at + 6)}`;
  }
}

/** @param at where the transport header is; -1: this is a later fragment, which has none */
function transport(
  frame: Reader,
  protocol: number,
  at: number,
  source: string,
  destination: string,
): string {
  const name = PROTOCOLS[protocol] ?? `protocol ${protocol}`;
  if (at < 0) return `${source} > ${destination}: ${name} fragment`;
  if (!WITH_PORTS.includes(protocol) || !frame.has(at, 4)) {
    return `${source} > ${destination}: ${name}`;
  }
  const ports = `${source}.${frame.u16(at)} > ${destination}.${frame.u16(at + 2)}: ${name}`;
  if (protocol === UDP && frame.has(at, UDP_HEADER)) {
    const bytes = frame.u16(at + 4);
    return bytes < UDP_HEADER
      ? `${ports}, bad length ${bytes}`
      : `${ports}, length ${bytes - UDP_HEADER}`;
  }
  if (protocol !== TCP || !frame.has(at, 14)) return ports;
  const flags = [...TCP_FLAGS].filter((_, bit) => (frame.u8(at + 13) & (1 << bit)) !== 0).join('');
  return `${ports} [${flags}]`;
}

function ipv4(frame: Reader, at: number): string {
  if (!frame.has(at, 20)) return 'IPv4, cut short';
  const header = (frame.u8(at) & 0xf) * 4;
  const later = (frame.u16(at + 6) & 0x1fff) !== 0;
  return `IPv4 ${transport(
    frame,
    frame.u8(at + 9),
    later ? -1 : at + header,
    frame.ipv4(at + 12),
    frame.ipv4(at + 16),
  )}`;
}

function ipv6(frame: Reader, at: number): string {
  if (!frame.has(at, 40)) return 'IPv6, cut short';
  const [source, destination] = [frame.ipv6(at + 8), frame.ipv6(at + 24)];
  return `IPv6 ${transport(frame, frame.u8(at + 6), at + 40, source, destination)}`;
}

function inside(frame: Reader): string {
  let at = 12;
  let tags = '';
  while (VLAN_TYPES.includes(frame.u16(at)) && frame.has(at, 6)) {
    tags += `vlan ${frame.u16(at + 2) & 0xfff}, `;
    at += 4;
  }
  const type = frame.u16(at);
  const start = at + 2;
  if (type === ARP) return tags + arp(frame, start);
  if (type === IPV4) return tags + ipv4(frame, start);
  if (type === IPV6) return tags + ipv6(frame, start);
  if (type < FIRST_TYPE) return `${tags}802.3`;
  return `${tags}ethertype 0x${type.toString(16).padStart(4, '0')}`;
}

function clockTime(timeUs: number): string {
  const date = new Date(timeUs / 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  const fraction = String(Math.floor(timeUs % 1e6)).padStart(6, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${fraction}`;
}

/**
 * Describes a frame.
 * @param bytes without CRC
 * @param timeUs microseconds since 1970; shown as local time of day
 */
export function frameLine(bytes: Uint8Array, timeUs: number): string {
  const time = clockTime(timeUs);
  const length = `length ${bytes.length}`;
  if (bytes.length < ETHER_BYTES) return `${time} cut short, ${length}`;
  const frame = new Reader(bytes);
  return `${time} ${frame.mac(6)} > ${frame.mac(0)}, ${length}: ${inside(frame)}`;
}

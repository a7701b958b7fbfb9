// Ethernet frames as tests write them: addresses, tag, type, a number to know a
// frame by, and a pattern behind it.

/** Parses "02:09:c0:00:00:01". */
export function mac(text: string): number[] {
  return text.split(':').map((byte) => Number.parseInt(byte, 16));
}

export const BROADCAST = 'ff:ff:ff:ff:ff:ff';
/** Somebody on the wire. */
export const STRANGER = '02:00:00:00:00:99';
/** EtherType for local experiments. */
const LOCAL_TYPE = 0x88b5;

/** What a frame is made of. */
export interface FrameFields {
  readonly dst: string;
  /** Default STRANGER. */
  readonly src?: string;
  /** 802.1Q VLAN id; no tag when left out. */
  readonly vlan?: number;
  /** Bytes without CRC, default 60. */
  readonly length?: number;
  /** Number behind the type, 0..2^32-1; default 0. */
  readonly id?: number;
}

/** Builds a frame. */
export function frame(fields: FrameFields): Uint8Array {
  const { dst, src = STRANGER, vlan, length = 60, id = 0 } = fields;
  const bytes = new Uint8Array(length);
  const head = [...mac(dst), ...mac(src)];
  if (vlan !== undefined) head.push(0x81, 0x00, vlan >> 8, vlan & 0xff);
  head.push(LOCAL_TYPE >> 8, LOCAL_TYPE & 0xff);
  head.push(id >>> 24, (id >>> 16) & 0xff, (id >>> 8) & 0xff, id & 0xff);
  for (let i = 0; i < length; i++) bytes[i] = i < head.length ? head[i] : (i * 7 + id) & 0xff;
  return bytes;
}

/** The number of an untagged frame. */
export function idOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(14);
}

/** An IPv4 frame of 60 bytes from 198.18.0.`host`, so that RSS tells hosts apart; `id` lies behind the header. */
export function ipv4Frame(fields: { dst: string; host: number; id: number }): Uint8Array {
  const bytes = frame({ dst: fields.dst });
  const view = new DataView(bytes.buffer);
  bytes.fill(0, 14);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, 46);
  view.setUint16(22, 0x40fd);
  view.setUint32(26, 0xc6120000 + fields.host);
  view.setUint32(30, 0xc6130001);
  view.setUint32(34, fields.id);
  return bytes;
}

/** Host and number of such a frame. */
export function flowOf(bytes: Uint8Array): { host: number; id: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return { host: view.getUint16(28), id: view.getUint32(34) };
}

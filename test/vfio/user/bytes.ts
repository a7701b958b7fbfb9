// Messages written out as hexadecimal, and read back that way.

/** "01 00 02 00" as bytes; anything but hex digits is ignored. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replace(/[^0-9a-f]/gi, ''), 'hex'));
}

/** A message of exactly these bytes. */
export function message(text: string): DataView {
  return new DataView(hex(text).buffer);
}

/** What an encoder writes, as "01000200...". It is given a dirty buffer, so that a forgotten field shows. */
export function encoded(encode: (out: DataView) => number): string {
  const out = new Uint8Array(512).fill(0xee);
  const length = encode(new DataView(out.buffer));
  return Buffer.from(out.subarray(0, length)).toString('hex');
}

/** The hex of `text`, in the form `encoded` gives. */
export function plain(text: string): string {
  return Buffer.from(hex(text)).toString('hex');
}

/** The message with one little-endian 32-bit word replaced. */
export function withWord(text: string, offset: number, value: number): DataView {
  const view = message(text);
  view.setUint32(offset, value, true);
  return view;
}

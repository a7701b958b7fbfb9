// MAC addresses on the control path: text, six bytes, and the two words of a
// mailbox message (byte 0 in bits 7:0 of the first, as linux ixgbevf sends it).

/** Six bytes, byte 0 first on the wire. */
export type MacBytes = Uint8Array;

/** "02:09:c0:00:00:01". */
export function formatMac(mac: MacBytes): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/**
 * Reads six hex pairs with colons between.
 * @param what name of the option or argument, for the error
 * @throws TypeError for any other form
 */
export function parseMac(what: string, text: string): MacBytes {
  if (typeof text !== 'string' || !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw new TypeError(
      `${what}: expected a MAC address such as 02:09:c0:00:00:01, got ${String(text)}`,
    );
  }
  return Uint8Array.from(text.split(':'), (pair) => Number.parseInt(pair, 16));
}

/**
 * Reads a MAC address that a station can have.
 * @throws TypeError for another form, RangeError for a group address or all zeros
 */
export function parseStationMac(what: string, text: string): MacBytes {
  const mac = parseMac(what, text);
  if (!isStationMac(mac)) {
    throw new RangeError(`${what}: expected a unicast MAC address that is not zero, got ${text}`);
  }
  return mac;
}

/** True for a unicast address that is not all zeros. */
export function isStationMac(mac: MacBytes): boolean {
  return (mac[0] & 1) === 0 && mac.some((byte) => byte !== 0);
}

/** A random unicast address with the locally administered bit set (IEEE 802, bit 1 of byte 0). */
export function randomMac(): MacBytes {
  // Not node:crypto: loading it takes 5 ms of every start, and an address is no secret.
  const mac = Uint8Array.from({ length: 6 }, () => Math.floor(Math.random() * 256));
  mac[0] = (mac[0] & 0xfc) | 0x02;
  return mac;
}

/** The two mailbox words that carry a MAC: bytes 0..3 little-endian, then bytes 4 and 5. */
export function macToWords(mac: MacBytes): readonly [number, number] {
  const low = (mac[0] | (mac[1] << 8) | (mac[2] << 16) | (mac[3] << 24)) >>> 0;
  return [low, mac[4] | (mac[5] << 8)];
}

/** The MAC that two mailbox words carry. */
export function macFromWords(low: number, high: number): MacBytes {
  return Uint8Array.of(
    low & 0xff,
    (low >>> 8) & 0xff,
    (low >>> 16) & 0xff,
    low >>> 24,
    high & 0xff,
    (high >>> 8) & 0xff,
  );
}

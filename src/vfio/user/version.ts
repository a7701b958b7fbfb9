// VERSION, the first message of a connection: protocol version and, as JSON, what each side can
// do. Same format both ways (vfio-user spec, "VFIO_USER_VERSION"; the names of the migration
// members are QEMU's). We speak 0.0, as QEMU does. twin_socket is never offered: no server of
// ours sends commands, so a client needs no second socket.

import {
  COMMAND,
  checkFds,
  encodeCommand,
  encodeReply,
  HEADER_BYTES,
  payloadBytes,
  type Refusal,
  refuse,
} from './wire.ts';

/** The version we propose and answer with. */
export const VERSION_MAJOR = 0;
export const VERSION_MINOR = 0;

/** What a side can do; absent members of the JSON become the defaults of the specification. */
export interface Capabilities {
  /** Fds the sender takes in one message. QEMU refuses a server that says more than 16. */
  readonly maxMessageFds: number;
  /** Bytes a REGION_READ, REGION_WRITE, DMA_READ or DMA_WRITE may carry. */
  readonly maxTransferBytes: number;
  /** DMA mappings that may exist at once. QEMU refuses more than 65535. */
  readonly maxDmaMaps: number;
  /** Page sizes of DMA mappings, or-ed; has bit 4096. */
  readonly pageSizes: number;
  /** REGION_WRITE_MULTI is understood. */
  readonly writeMultiple: boolean;
}

/** What a side can do that says nothing. */
export const DEFAULT_CAPABILITIES: Capabilities = {
  maxMessageFds: 1,
  maxTransferBytes: 1_048_576,
  maxDmaMaps: 65_535,
  pageSizes: 4096,
  writeMultiple: false,
};

/** A VERSION message, proposed or agreed. */
export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly capabilities: Capabilities;
  /** The sender offers a second socket for commands of the server. */
  readonly twinSocket: boolean;
}

/** Writes the client's proposal. @returns message bytes */
export function encodeVersionCommand(
  out: DataView,
  id: number,
  capabilities: Capabilities,
  minor = VERSION_MINOR,
): number {
  const sizeBytes = encodeBody(out, VERSION_MAJOR, minor, capabilities);
  return encodeCommand(out, id, COMMAND.VERSION, sizeBytes);
}

/** Writes the server's answer: `minor` at most what the client proposed. @returns message bytes */
export function encodeVersionReply(
  out: DataView,
  id: number,
  capabilities: Capabilities,
  minor = VERSION_MINOR,
): number {
  const sizeBytes = encodeBody(out, VERSION_MAJOR, minor, capabilities);
  return encodeReply(out, id, COMMAND.VERSION, sizeBytes);
}

/** Reads a client's proposal: version 0.x, no fds, JSON whole and of the right types. Unknown members are let pass. */
export function decodeVersionCommand(message: DataView, fdCount: number): Version | Refusal {
  return decodeBody(message, fdCount);
}

/**
 * Reads a server's answer to a proposal of 0.`proposedMinor` without twin_socket.
 * The header was checked by checkReply.
 */
export function decodeVersionReply(
  message: DataView,
  fdCount: number,
  proposedMinor = VERSION_MINOR,
): Version | Refusal {
  const version = decodeBody(message, fdCount);
  if ('refused' in version) return version;
  if (version.minor > proposedMinor) {
    return refuse(`version: expected at most 0.${proposedMinor}, got 0.${version.minor}`);
  }
  if (version.twinSocket) return refuse('twin_socket: expected none, got one we did not offer');
  return version;
}

function encodeBody(out: DataView, major: number, minor: number, able: Capabilities): number {
  const json = JSON.stringify({
    capabilities: {
      max_msg_fds: able.maxMessageFds,
      max_data_xfer_size: able.maxTransferBytes,
      max_dma_maps: able.maxDmaMaps,
      pgsizes: able.pageSizes,
      write_multiple: able.writeMultiple,
    },
  });
  out.setUint16(HEADER_BYTES, major, true);
  out.setUint16(HEADER_BYTES + 2, minor, true);
  const text = new TextEncoder().encode(`${json}\0`);
  bytesOf(out, HEADER_BYTES + 4, text.length).set(text);
  return HEADER_BYTES + 4 + text.length;
}

function decodeBody(message: DataView, fdCount: number): Version | Refusal {
  const bytes = payloadBytes(message);
  if (bytes < 4) return refuse(`payload: expected at least 4 bytes, got ${bytes}`);
  const fds = checkFds(fdCount, 0);
  if (fds !== null) return fds;
  const major = message.getUint16(HEADER_BYTES, true);
  const minor = message.getUint16(HEADER_BYTES + 2, true);
  if (major !== VERSION_MAJOR) {
    return refuse(`version: expected ${VERSION_MAJOR}.x, got ${major}.${minor}`);
  }
  if (bytes === 4) return { major, minor, capabilities: DEFAULT_CAPABILITIES, twinSocket: false };
  const data = bytesOf(message, HEADER_BYTES + 4, bytes - 4);
  if (data[data.length - 1] !== 0) return refuse('version data: expected a final NUL, got none');
  const json = parseObject(data.subarray(0, data.length - 1));
  if (json === null) return refuse('version data: expected a JSON object in UTF-8');
  return readCapabilities(json, major, minor);
}

function readCapabilities(json: JsonObject, major: number, minor: number): Version | Refusal {
  const given = json.capabilities ?? {};
  if (!isObject(given)) return refuse('capabilities: expected a JSON object');
  const bad = (name: string, expected: string) =>
    refuse(`${name}: expected ${expected}, got ${JSON.stringify(given[name])}`);
  const maxMessageFds = given.max_msg_fds ?? DEFAULT_CAPABILITIES.maxMessageFds;
  if (!isCount(maxMessageFds)) return bad('max_msg_fds', 'a count');
  const maxTransferBytes = given.max_data_xfer_size ?? DEFAULT_CAPABILITIES.maxTransferBytes;
  if (!isCount(maxTransferBytes)) return bad('max_data_xfer_size', 'a size in bytes');
  const maxDmaMaps = given.max_dma_maps ?? DEFAULT_CAPABILITIES.maxDmaMaps;
  if (!isCount(maxDmaMaps)) return bad('max_dma_maps', 'a count');
  const pageSizes = given.pgsizes ?? DEFAULT_CAPABILITIES.pageSizes;
  if (!isCount(pageSizes) || pageSizes % 8192 < 4096) {
    return bad('pgsizes', 'page sizes or-ed, 4096 among them');
  }
  const writeMultiple = given.write_multiple ?? false;
  if (typeof writeMultiple !== 'boolean') return bad('write_multiple', 'true or false');
  const twin = given.twin_socket ?? {};
  if (!isObject(twin)) return bad('twin_socket', 'a JSON object');
  return {
    major,
    minor,
    capabilities: { maxMessageFds, maxTransferBytes, maxDmaMaps, pageSizes, writeMultiple },
    twinSocket: twin.supported === true,
  };
}

type JsonObject = { readonly [name: string]: unknown };

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function parseObject(data: Uint8Array): JsonObject | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data));
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function bytesOf(view: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length);
}

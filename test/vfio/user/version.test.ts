import { describe, expect, test } from 'vitest';
import {
  DEFAULT_CAPABILITIES,
  decodeVersionCommand,
  decodeVersionReply,
  encodeVersionCommand,
  encodeVersionReply,
} from '../../../src/vfio/user/version.ts';
import { encoded, message } from './bytes.ts';

/** A VERSION command with this text, or with none, not even a NUL. */
function version(major: number, minor: number, text?: string | Uint8Array): DataView {
  const data = text === undefined ? new Uint8Array(0) : Buffer.from(text);
  const bytes = new Uint8Array(20 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 7, true);
  view.setUint16(2, 1, true);
  view.setUint32(4, bytes.length, true);
  view.setUint16(16, major, true);
  view.setUint16(18, minor, true);
  bytes.set(data, 20);
  return view;
}

const capabilities = (members: string) => version(0, 0, `{"capabilities":{${members}}}\0`);

describe('VERSION is refused', () => {
  test.each([
    [
      'without room for the numbers',
      message('07000100 13000000 00000000 00000000 000000'),
      'got 3',
    ],
    ['of another major version', version(1, 0), 'expected 0.x, got 1.0'],
    ['without the final NUL', version(0, 0, '{}'), 'NUL'],
    ['with nothing but a NUL', version(0, 0, '\0'), 'JSON'],
    ['with broken JSON', version(0, 0, '{"capabilities":\0'), 'JSON'],
    ['with a NUL inside', version(0, 0, '{}\0{}\0'), 'JSON'],
    ['that is not UTF-8', version(0, 0, Buffer.from('{"a":"\xff"}\0', 'latin1')), 'JSON'],
    ['that is a JSON array', version(0, 0, '[]\0'), 'JSON object'],
    ['whose capabilities are a number', version(0, 0, '{"capabilities":1}\0'), 'capabilities'],
    ['with a negative max_msg_fds', capabilities('"max_msg_fds":-1'), 'max_msg_fds'],
    ['with max_msg_fds in quotes', capabilities('"max_msg_fds":"8"'), 'max_msg_fds'],
    ['with half an fd', capabilities('"max_msg_fds":1.5'), 'max_msg_fds'],
    ['with an inexact size', capabilities('"max_data_xfer_size":1e300'), 'max_data_xfer_size'],
    ['with max_dma_maps true', capabilities('"max_dma_maps":true'), 'max_dma_maps'],
    ['without 4 KiB pages', capabilities('"pgsizes":2097152'), 'pgsizes'],
    ['with write_multiple 1', capabilities('"write_multiple":1'), 'write_multiple'],
    ['with twin_socket true', capabilities('"twin_socket":true'), 'twin_socket'],
  ])('%s', (_, bytes, why) => {
    expect(decodeVersionCommand(bytes, 0)).toEqual({
      refused: expect.stringContaining(why),
      errno: 22,
    });
  });

  test('with a file descriptor', () => {
    expect(decodeVersionCommand(version(0, 0), 1)).toHaveProperty('refused');
  });

  test('in a reply with a higher minor version than proposed', () => {
    expect(decodeVersionReply(version(0, 1), 0)).toHaveProperty('refused');
    expect(decodeVersionReply(version(0, 1), 0, 1)).not.toHaveProperty('refused');
  });

  test('in a reply with a twin socket, which was not offered', () => {
    const twin = capabilities('"twin_socket":{"supported":true,"fd_index":0}');
    expect(decodeVersionReply(twin, 0)).toHaveProperty('refused');
    const none = capabilities('"twin_socket":{"supported":false}');
    expect(decodeVersionReply(none, 0)).not.toHaveProperty('refused');
  });
});

test('a VERSION without data means the defaults of the specification', () => {
  const expected = {
    major: 0,
    minor: 3,
    capabilities: {
      maxMessageFds: 1,
      maxTransferBytes: 1_048_576,
      maxDmaMaps: 65_535,
      pageSizes: 4096,
      writeMultiple: false,
    },
    twinSocket: false,
  };
  expect(decodeVersionCommand(version(0, 3), 0)).toEqual(expected);
  expect(decodeVersionCommand(version(0, 3, '{}\0'), 0)).toEqual(expected);
  expect(decodeVersionCommand(version(0, 3, '{"capabilities":{}}\0'), 0)).toEqual(expected);
});

test('the capabilities that QEMU sends are understood, those of migration let pass', () => {
  const sent = capabilities(
    '"migration":{"pgsize":4096,"max_bitmap_size":268435456},"max_msg_fds":16,' +
      '"max_data_xfer_size":1048576,"pgsizes":4096,"max_dma_maps":65535,"write_multiple":true',
  );
  expect(decodeVersionCommand(sent, 0)).toEqual({
    major: 0,
    minor: 0,
    capabilities: {
      maxMessageFds: 16,
      maxTransferBytes: 1_048_576,
      maxDmaMaps: 65_535,
      pageSizes: 4096,
      writeMultiple: true,
    },
    twinSocket: false,
  });
});

test('our proposal has the bytes of the specification', () => {
  const json =
    '{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,"max_dma_maps":65535,' +
    '"pgsizes":4096,"write_multiple":false}}\0';
  const text = Buffer.from(json).toString('hex');
  const size = (20 + json.length).toString(16);
  const ours = { ...DEFAULT_CAPABILITIES, maxMessageFds: 8 };
  expect(encoded((out) => encodeVersionCommand(out, 1, ours))).toBe(
    `01000100${size}000000${'00'.repeat(8)}00000000${text}`,
  );
  expect(encoded((out) => encodeVersionReply(out, 1, ours))).toBe(
    `01000100${size}00000001000000${'00'.repeat(4)}00000000${text}`,
  );
});

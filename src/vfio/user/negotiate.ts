// What a client asks before it has a device: version and capabilities, then device, regions and
// interrupts (vfio-user spec, "Connection Initiation" and "Device Information"). Refuses what is
// no VF of this family early, with the reason; maps nothing.

import { CONFIG_DEVICE_ID } from '../../hw/pci.ts';
import { BAR0_SIZE } from '../../hw/registers.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import type { BarFile } from '../bar-pages.ts';
import type { VfioFlags } from '../device.ts';
import { BUFFER_BYTES, type Connection, MAX_RECEIVED_FDS } from './connection.ts';
import {
  type Capabilities,
  COMMAND,
  DEFAULT_CAPABILITIES,
  DEVICE_FLAG,
  decodeDeviceInfoReply,
  decodeIrqInfoReply,
  decodeRegionInfoReply,
  decodeVersionReply,
  encodeDeviceInfoCommand,
  encodeIrqInfoCommand,
  encodeRegionInfoCommand,
  encodeVersionCommand,
  HEADER_BYTES,
  IRQ,
  REGION,
  REGION_FLAG,
  type RegionInfo,
  type Version,
} from './protocol.ts';
import { readRegion } from './register-access.ts';

/** What is known of a server and its device before it is used. */
export interface ServerFacts {
  readonly flags: VfioFlags;
  readonly capabilities: Capabilities;
  readonly resettable: boolean;
  /** Types of interrupt, from index 0 up. */
  readonly irqs: number;
  readonly deviceId: number;
  /** MSI-X vectors. */
  readonly vectors: number;
  readonly configBytes: number;
  /** What can be mapped of BAR0; the fd is the caller's to close, -1 where nothing can. */
  readonly bar0: BarFile;
}

const CONFIG_BYTES = 256;
/** MSI-X allows no more (PCI Local Bus 3.0, 6.8.2). */
const MAX_VECTORS = 2048;
const INFO_ARGSZ = BUFFER_BYTES - HEADER_BYTES;

/**
 * Asks the server for everything, six requests in a fixed order.
 * @throws VfioError EBUSY where the VF is taken, ENODEV where it is none; as Connection.request
 */
export function negotiate(connection: Connection): ServerFacts {
  const version = agreeOnVersion(connection);
  const device = connection.request(
    'query device',
    COMMAND.DEVICE_GET_INFO,
    encodeDeviceInfoCommand,
    decodeDeviceInfoReply,
  );
  expect(connection, (device.flags & DEVICE_FLAG.PCI) !== 0, 'a PCI device', 'another kind');
  expect(connection, device.regions > REGION.CONFIG, '8 regions or more', `${device.regions}`);
  expect(connection, device.irqs > IRQ.MSIX, '3 interrupt types or more', `${device.irqs}`);
  const config = regionInfo(connection, REGION.CONFIG);
  // The fd of a region is BAR0's only; a server may offer one for config space all the same.
  connection.closeReplyFds();
  expect(
    connection,
    config.sizeBytes >= CONFIG_BYTES,
    `${CONFIG_BYTES} bytes or more of config space`,
    `${config.sizeBytes}`,
  );
  const vectors = irqCount(connection, 'query MSI-X', IRQ.MSIX);
  expect(connection, vectors <= MAX_VECTORS, `at most ${MAX_VECTORS} vectors`, `${vectors}`);
  const deviceId = readRegion(connection, REGION.CONFIG, 'config', CONFIG_DEVICE_ID, 2);
  // Last, so that nothing can fail between the arrival of the fd and its owner's taking it.
  const bar0 = regionInfo(connection, REGION.BAR0);
  const access = REGION_FLAG.READ | REGION_FLAG.WRITE;
  if (bar0.sizeBytes !== BAR0_SIZE || (bar0.flags & access) !== access) {
    connection.closeReplyFds();
    const got = `${bar0.sizeBytes} bytes, flags 0x${bar0.flags.toString(16)}`;
    expect(connection, false, `a BAR0 of ${BAR0_SIZE} bytes to read and write`, got);
  }
  return {
    flags: { device: device.flags, bar0: bar0.flags },
    capabilities: version.capabilities,
    resettable: (device.flags & DEVICE_FLAG.RESET) !== 0,
    irqs: device.irqs,
    deviceId,
    vectors,
    configBytes: config.sizeBytes,
    bar0: {
      fd: connection.takeReplyFd(),
      path: connection.path,
      fileOffset: bar0.fileOffset,
      areas: bar0.areas ?? [{ offset: 0, sizeBytes: bar0.sizeBytes }],
    },
  };
}

function agreeOnVersion(connection: Connection): Version {
  const ours: Capabilities = { ...DEFAULT_CAPABILITIES, maxMessageFds: MAX_RECEIVED_FDS };
  try {
    return connection.request(
      'open VF',
      COMMAND.VERSION,
      (out, id) => encodeVersionCommand(out, id, ours),
      decodeVersionReply,
    );
  } catch (error) {
    if (!(error instanceof VfioError) || error.errno !== ERRNO.EBUSY) throw error;
    const detail = 'another client has this VF; stop it, or take another socket of the model';
    throw new VfioError('open VF', ERRNO.EBUSY, connection.path, detail);
  }
}

function regionInfo(connection: Connection, index: number): RegionInfo {
  const query = { index, argsz: INFO_ARGSZ };
  return connection.request(
    `query region ${index}`,
    COMMAND.DEVICE_GET_REGION_INFO,
    (out, id) => encodeRegionInfoCommand(out, id, query),
    (reply, fdCount) => decodeRegionInfoReply(reply, fdCount, query),
  );
}

/** How many interrupts the device has of a type. @throws VfioError as Connection.request */
export function irqCount(connection: Connection, operation: string, index: number): number {
  const info = connection.request(
    operation,
    COMMAND.DEVICE_GET_IRQ_INFO,
    (out, id) => encodeIrqInfoCommand(out, id, index),
    (reply, fdCount) => decodeIrqInfoReply(reply, fdCount, index),
  );
  return info.count;
}

function expect(connection: Connection, holds: boolean, expected: string, got: string): void {
  if (holds) return;
  const detail = `expected ${expected}, got ${got}; this socket serves no VF of the 82599 family`;
  throw new VfioError('open VF', ERRNO.ENODEV, connection.path, detail);
}

// What a device fd says before it is used, and its interrupt and reset calls: the same on both
// ABIs (docs/82599-vf.md sec 9.3 and 8.4). Keeps no state.

import { BAR0_SIZE } from '../../hw/registers.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import { DEVICE_FLAG, IRQ, IRQ_ACTION, IRQ_DATA, REGION, REGION_FLAG } from '../linux-vfio.ts';
import { type RegionFacts, regionFacts } from './capabilities.ts';
import { call, type OpenFile, tryCall } from './ioctl.ts';
import { allocate, structType } from './structs.ts';

/** A VF as its device fd describes it. */
export interface DeviceFacts {
  readonly flags: number;
  readonly resettable: boolean;
  /** MSI-X vectors. */
  readonly vectors: number;
  readonly bar0: RegionFacts;
  readonly config: RegionFacts;
}

const CONFIG_BYTES = 256;
const VECTOR_BYTES = 4;

/**
 * Asks for everything.
 * @throws VfioError; ENODEV where it does not look like a VF of this family
 */
export function deviceFacts(device: OpenFile): DeviceFacts {
  const info = allocate('vfio_device_info');
  call(device, 'query device', 'VFIO_DEVICE_GET_INFO', info.buffer);
  const { flags, num_regions, num_irqs } = info.fields;
  expect(device, (flags & DEVICE_FLAG.PCI) !== 0, 'a PCI device', `flags 0x${flags.toString(16)}`);
  expect(device, num_regions > REGION.CONFIG, '8 regions or more', `${num_regions}`);
  expect(device, num_irqs > IRQ.MSIX, '3 interrupt types or more', `${num_irqs}`);
  const config = regionFacts(device, REGION.CONFIG);
  const enough = config.sizeBytes >= CONFIG_BYTES;
  expect(device, enough, `${CONFIG_BYTES} bytes or more of config space`, `${config.sizeBytes}`);
  const bar0 = regionFacts(device, REGION.BAR0);
  const access = REGION_FLAG.READ | REGION_FLAG.WRITE;
  expect(
    device,
    bar0.sizeBytes === BAR0_SIZE && (bar0.flags & access) === access,
    `a BAR0 of ${BAR0_SIZE} bytes to read and write`,
    `${bar0.sizeBytes} bytes, flags 0x${bar0.flags.toString(16)}`,
  );
  const irq = allocate('vfio_irq_info', { index: IRQ.MSIX });
  call(device, 'query MSI-X', 'VFIO_DEVICE_GET_IRQ_INFO', irq.buffer);
  const resettable = (flags & DEVICE_FLAG.RESET) !== 0;
  return { flags, resettable, vectors: irq.fields.count, bar0, config };
}

/** Whether the device has interrupts of an index; the kernel refuses to speak of ERR where a device has no PCIe. */
export function hasIrq(device: OpenFile, index: number): boolean {
  const irq = allocate('vfio_irq_info', { index });
  return tryCall(device.fd, 'VFIO_DEVICE_GET_IRQ_INFO', irq.buffer) >= 0 && irq.fields.count > 0;
}

/**
 * Connects all MSI-X vectors in one call: the first call fixes how many there are, on kernels that
 * cannot grow them later, so a vector that stays unconnected takes part as -1.
 * @param eventFds one a vector
 */
export function connectVectors(device: OpenFile, eventFds: readonly number[]): void {
  setEventFds(device, 'enable vectors', IRQ.MSIX, eventFds);
}

/** Connects the interrupts of an index, all of them. @param eventFds one each, -1 for none */
export function setEventFds(
  device: OpenFile,
  operation: string,
  index: number,
  eventFds: readonly number[],
): void {
  const count = eventFds.length;
  const flags = IRQ_DATA.EVENTFD | IRQ_ACTION.TRIGGER;
  const values = { flags, index, start: 0, count };
  const { buffer } = allocate('vfio_irq_set', values, count * VECTOR_BYTES);
  const data = structType('vfio_irq_set').size;
  for (const [i, fd] of eventFds.entries()) buffer.writeInt32LE(fd, data + i * VECTOR_BYTES);
  call(device, operation, 'VFIO_DEVICE_SET_IRQS', buffer);
}

/** Disconnects all; the kernel refuses it (EINVAL) where none was connected. */
export function disconnectVectors(device: OpenFile): void {
  const flags = IRQ_DATA.NONE | IRQ_ACTION.TRIGGER;
  const { buffer } = allocate('vfio_irq_set', { flags, index: IRQ.MSIX });
  call(device, 'disable vectors', 'VFIO_DEVICE_SET_IRQS', buffer);
}

/** VFIO_DEVICE_RESET, which for a VF is a VFLR. */
export function resetDevice(device: OpenFile): void {
  call(device, 'reset', 'VFIO_DEVICE_RESET', 0);
}

function expect(device: OpenFile, holds: boolean, expected: string, got: string): void {
  if (holds) return;
  const detail = `expected ${expected}, got ${got}; this is no VF of the 82599 family`;
  throw new VfioError('open VF', ERRNO.ENODEV, device.path, detail);
}

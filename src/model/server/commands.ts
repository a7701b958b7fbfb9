// What the server answers to each command of a client that has the VF. A message is decoded and
// judged whole before anything of it is done; whatever is wrong with it becomes an error reply.
// VERSION is not here: until it is agreed there is no client (vf-endpoint.ts).

import { ERRNO } from '../../support/linux.ts';
import {
  COMMAND,
  checkDeviceInfoCommand,
  checkEmpty,
  commandName,
  DEVICE_FLAG,
  decodeDmaMapCommand,
  decodeDmaUnmapCommand,
  decodeIrqInfoCommand,
  decodeRegionInfoCommand,
  decodeRegionReadCommand,
  decodeRegionWriteCommand,
  decodeRegionWriteMultiCommand,
  decodeSetIrqsCommand,
  encodeDeviceInfoReply,
  encodeDmaMapReply,
  encodeDmaUnmapReply,
  encodeIrqInfoReply,
  encodeRegionInfoReply,
  encodeRegionReadReply,
  encodeRegionWriteMultiReply,
  encodeRegionWriteReply,
  encodeReply,
  encodeSetIrqsReply,
  IRQ,
  IRQ_FLAG,
  isRefusal,
  PCI_IRQS,
  PCI_REGIONS,
  REGION_FLAG,
  type Refusal,
  refuse,
} from '../../vfio/user/protocol.ts';
import type { VfFunction } from '../types.ts';
import { MAX_TRANSFER_BYTES } from './channel.ts';
import { ClientDma } from './client-dma.ts';
import type { ClientFile, ClientFiles } from './client-files.ts';
import { ClientVectors, IRQ_COUNTS } from './client-vectors.ts';
import { Regions } from './regions.ts';

/** DMA mappings that a client may have at once; also what VERSION says. */
export const MAX_DMA_MAPS = 65_535;

/** Commands of the protocol that this device has nothing for. */
const UNSUPPORTED: ReadonlySet<number> = new Set([
  COMMAND.DEVICE_GET_REGION_IO_FDS,
  COMMAND.DEVICE_FEATURE,
  COMMAND.MIG_DATA_READ,
  COMMAND.MIG_DATA_WRITE,
]);

/** A command as it came. */
export interface Request {
  readonly command: number;
  readonly id: number;
  readonly message: DataView;
  /** Came with it; those that are kept are taken out, the rest stays the caller's. */
  readonly fds: number[];
  /** Where the reply goes: MAX_MESSAGE_BYTES. */
  readonly out: DataView;
}

/** Bytes of the reply, or why there is an error reply instead. */
export type Result = number | Refusal;

/** One VF at the service of one client at a time. */
export class Commands {
  /** After `answer`: an fd to send beside the reply, -1 for none. It stays the server's. */
  replyFd = -1;
  private readonly target: VfFunction;
  private readonly barFd: () => number;
  private readonly regions: Regions;
  private readonly dma: ClientDma;
  private readonly vectors: ClientVectors;
  /** The host has asked for the VF: a reset gives EAGAIN, as on Linux, where whoever asks holds the device's lock. */
  private awaited = false;
  private readonly data = new Uint8Array(MAX_TRANSFER_BYTES);

  /** @param barFd file of BAR0 as it is by now, whose pages 1 and 2 clients map; -1: every page is trapped */
  constructor(target: VfFunction, barFd: () => number, files: ClientFiles) {
    this.target = target;
    this.barFd = barFd;
    this.regions = new Regions(target, barFd() < 0);
    this.dma = new ClientDma(target, files, MAX_DMA_MAPS);
    this.vectors = new ClientVectors(target);
  }

  /** True where DMA memory of the client lies in the file. */
  uses(file: ClientFile): boolean {
    return this.dma.uses(file);
  }

  /** The client is gone: reset, maps and vectors forgotten, its fds closed, its memory unmapped. */
  release(): void {
    this.target.disconnect();
    this.vectors.clear();
    this.dma.clear();
    this.regions.reset();
    this.awaited = false;
  }

  /** Asks the client to give the VF back. */
  requestRemoval(): void {
    this.awaited = true;
    this.vectors.raise(IRQ.REQ);
  }

  /** Tells the client of a PCIe error. */
  reportError(): void {
    this.vectors.raise(IRQ.ERR);
  }

  /** Carries out one command. */
  answer(request: Request): Result {
    this.replyFd = -1;
    switch (request.command) {
      case COMMAND.DMA_MAP:
        return this.dmaMap(request);
      case COMMAND.DMA_UNMAP:
        return this.dmaUnmap(request);
      case COMMAND.DEVICE_GET_INFO:
        return this.deviceInfo(request);
      case COMMAND.DEVICE_GET_REGION_INFO:
        return this.regionInfo(request);
      case COMMAND.DEVICE_GET_IRQ_INFO:
        return this.irqInfo(request);
      case COMMAND.DEVICE_SET_IRQS:
        return this.setIrqs(request);
      case COMMAND.REGION_READ:
        return this.regionRead(request);
      case COMMAND.REGION_WRITE:
        return this.regionWrite(request);
      case COMMAND.REGION_WRITE_MULTI:
        return this.regionWriteMulti(request);
      case COMMAND.DEVICE_RESET:
        return this.deviceReset(request);
      default:
        return UNSUPPORTED.has(request.command)
          ? refuse(`${commandName(request.command)} is not supported`, ERRNO.EOPNOTSUPP)
          : refuse('expected a command of a client that has agreed on a version');
    }
  }

  private deviceReset({ command, id, message, fds, out }: Request): Result {
    const bad = checkEmpty(message, fds.length);
    if (bad !== null) return bad;
    if (this.awaited) return refuse('the host waits for the device', ERRNO.EAGAIN);
    this.target.functionReset();
    return encodeReply(out, id, command);
  }

  private dmaMap({ id, message, fds, out }: Request): Result {
    const map = decodeDmaMapCommand(message, fds.length);
    if (isRefusal(map)) return map;
    const result = this.dma.map(map, fds.pop() ?? -1);
    if (result === 0) return encodeDmaMapReply(out, id);
    return refuse(`${range(map)}: cannot be mapped`, -result);
  }

  private dmaUnmap({ id, message, fds, out }: Request): Result {
    const unmap = decodeDmaUnmapCommand(message, fds.length);
    if (isRefusal(unmap)) return unmap;
    const result = this.dma.unmap(unmap);
    if (result === 0) return encodeDmaUnmapReply(out, id, unmap);
    return refuse(`${range(unmap)}: expected to cut no mapping`, -result);
  }

  private deviceInfo({ id, message, fds, out }: Request): Result {
    const bad = checkDeviceInfoCommand(message, fds.length);
    if (bad !== null) return bad;
    const flags = DEVICE_FLAG.RESET | DEVICE_FLAG.PCI;
    return encodeDeviceInfoReply(out, id, { flags, regions: PCI_REGIONS, irqs: PCI_IRQS });
  }

  private regionInfo({ id, message, fds, out }: Request): Result {
    const query = decodeRegionInfoCommand(message, fds.length);
    if (isRefusal(query)) return query;
    const info = this.regions.info(query.index);
    if (info === null) {
      return refuse(`region: expected below ${PCI_REGIONS}, got ${query.index}`);
    }
    if ((info.flags & REGION_FLAG.MMAP) !== 0) this.replyFd = this.barFd();
    return encodeRegionInfoReply(out, id, info, query.argsz);
  }

  private irqInfo({ id, message, fds, out }: Request): Result {
    const query = decodeIrqInfoCommand(message, fds.length);
    if (isRefusal(query)) return query;
    const { index } = query;
    const count = IRQ_COUNTS[index];
    if (count === undefined) {
      return refuse(`interrupt index: expected below ${PCI_IRQS}, got ${index}`);
    }
    const flags = count > 0 ? IRQ_FLAG.EVENTFD : 0;
    return encodeIrqInfoReply(out, id, { index, flags, count });
  }

  private setIrqs({ id, message, fds, out }: Request): Result {
    const set = decodeSetIrqsCommand(message, fds.length, IRQ_COUNTS);
    if (isRefusal(set)) return set;
    const result = this.vectors.set(set, fds);
    if (result === 0) return encodeSetIrqsReply(out, id);
    return refuse('expected a trigger (MSI-X is masked in its table), and eventfds', -result);
  }

  private regionRead({ id, message, fds, out }: Request): Result {
    const access = decodeRegionReadCommand(message, fds.length, MAX_TRANSFER_BYTES);
    if (isRefusal(access)) return access;
    const fault = this.regions.fault(access);
    if (fault !== '') return refuse(fault);
    this.regions.read(access, this.data);
    return encodeRegionReadReply(out, id, access, this.data);
  }

  private regionWrite({ id, message, fds, out }: Request): Result {
    const write = decodeRegionWriteCommand(message, fds.length, MAX_TRANSFER_BYTES);
    if (isRefusal(write)) return write;
    const fault = this.regions.fault(write);
    if (fault !== '') return refuse(fault);
    this.regions.write(write);
    return encodeRegionWriteReply(out, id, write);
  }

  private regionWriteMulti({ id, message, fds, out }: Request): Result {
    const writes = decodeRegionWriteMultiCommand(message, fds.length);
    if ('refused' in writes) return writes;
    for (const write of writes) {
      const fault = this.regions.fault(write);
      if (fault !== '') return refuse(fault);
    }
    for (const write of writes) this.regions.write(write);
    return encodeRegionWriteMultiReply(out, id, writes.length);
  }
}

function range(where: { readonly iova: number; readonly sizeBytes: number }): string {
  return `${where.sizeBytes} bytes at IOVA 0x${where.iova.toString(16)}`;
}

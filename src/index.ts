// The public names of ixy.ts.

export { RX_FLAGS } from './hw/descriptors.ts';
export type { Health } from './ixgbevf/health.ts';
export type { LinkState } from './ixgbevf/link.ts';
export type { VfOptions } from './ixgbevf/options.ts';
export type { QueueHandle } from './ixgbevf/queue/memory.ts';
export {
  openRxQueue,
  openTxQueue,
  type QueueCounters,
  RxQueue,
  TxQueue,
} from './ixgbevf/queue/queues.ts';
export type { VfEvents } from './ixgbevf/recovery.ts';
export type { VfStatistics } from './ixgbevf/statistics.ts';
export { IxgbeVf, openVf } from './ixgbevf/vf.ts';
export { type Arena, processArena } from './memory/arena.ts';
export { Mempool, type MempoolHandle, type MempoolOptions } from './memory/mempool.ts';
export { type PacketViews, packetViews } from './memory/packet-views.ts';
export { createModel, type LocalModel, type LocalModelOptions } from './model/local-model.ts';
export type { NicCounters } from './model/nic.ts';
export type { NicPortOptions } from './model/nic-port.ts';
export type { Pf } from './model/pf/pf.ts';
export type { Recorder } from './model/recorder.ts';
export type { Ingress, PfPersonality, PortCounters, WirePort } from './model/types.ts';
export { mempool, type OpenOptions, open } from './open.ts';
export { type Clock, systemClock } from './support/clock.ts';
export { DeviceError, MailboxError, type MailboxFailure, VfioError } from './support/errors.ts';
export { type Log, silentLog } from './support/log.ts';
export { PcapError, type PcapFrame } from './support/pcap/format.ts';
export { PcapReader, parsePcap } from './support/pcap/reader.ts';
export { PcapWriter, type PcapWriterOptions } from './support/pcap/writer.ts';
export type { VfioDevice } from './vfio/device.ts';

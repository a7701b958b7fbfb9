// From an address to a running VF: picks the backend, starts the driver. The only file that knows all of them.

import type { VfOptions } from './ixgbevf/options.ts';
import { type IxgbeVf, openVf } from './ixgbevf/vf.ts';
import { processArena } from './memory/arena.ts';
import { createMempool, type Mempool, type MempoolOptions } from './memory/mempool.ts';
import type { LocalModel } from './model/local-model.ts';
import { type Log, silentLog } from './support/log.ts';
import { parseAddress } from './vfio/address.ts';
import type { VfioDevice } from './vfio/device.ts';
import { VfioUserDevice } from './vfio/user/client.ts';

/** How to open a device. */
export interface OpenOptions extends Omit<VfOptions, 'reopen'> {
  /** With `recover`: a device that was removed is opened again once its address is there again. Default false. */
  readonly waitForDevice?: boolean;
  /** The model that `model:P.V` addresses mean. */
  readonly model?: LocalModel;
}

/**
 * Takes the device behind an address, without touching a register.
 * @param model the one that `model:P.V` addresses mean
 * @throws RangeError for a wrong address; VfioError
 */
export async function openDevice(
  address: string,
  model: LocalModel | undefined,
  log: Log,
): Promise<VfioDevice> {
  const parsed = parseAddress(address);
  switch (parsed.kind) {
    case 'vfio-user':
      return VfioUserDevice.connect(address, processArena(), { log });
    case 'model':
      if (model === undefined) {
        throw new RangeError(
          `${address}: expected the model that this address is a VF of in options.model, got none; make one with createModel()`,
        );
      }
      return model.device(parsed.port, parsed.vf);
    case 'pci':
      // Loaded on demand: it needs ffi, which the other backends do without.
      return (await import('./vfio/kernel/open.ts')).openKernelDevice(parsed.pci, processArena(), {
        log,
      });
  }
}

/** The start of a device is over: what it is asked from here on has deadlines of its own. */
function started(device: VfioDevice): VfioDevice {
  if (device instanceof VfioUserDevice) device.started();
  return device;
}

/**
 * Opens a VF and starts its queues.
 * @param address "0000:03:10.0", "vfio-user:/path/to.sock" or "model:0.0"
 * @throws RangeError, TypeError for a wrong address or option; VfioError, DeviceError, MailboxError where the
 *   device cannot be had or does not come up; nothing stays open then
 */
export async function open(address: string, options: OpenOptions = {}): Promise<IxgbeVf> {
  const { model, waitForDevice = false, ...vfOptions } = options;
  const again = (): Promise<VfioDevice> => openDevice(address, model, options.log ?? silentLog);
  const device = await again();
  const reopen = async (): Promise<VfioDevice> => started(await again());
  const vf = await openVf(
    device,
    processArena(),
    waitForDevice ? { ...vfOptions, reopen } : vfOptions,
  );
  started(device);
  return vf;
}

/**
 * Makes a mempool that several devices may share, as the two ends of a forwarder do.
 * @throws RangeError for options out of range; VfioError when there is no memory
 */
export function mempool(options: MempoolOptions): Mempool {
  return createMempool(processArena(), options);
}

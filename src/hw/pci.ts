// PCI identity of the VFs this driver knows, and the few config space offsets
// it needs. PCI Local Bus 3.0; ids from linux ixgbevf/defines.h.

export const VENDOR_INTEL = 0x8086;
export const DEVICE_82599_VF = 0x10ed;
export const DEVICE_X540_VF = 0x1515;
export const DEVICE_X550_VF = 0x1565;

/** VFs of the family, by device id. `ownRss`: has VFMRQC, VFRSSRK, VFRETA of its own. */
export const VF_DEVICES: Readonly<
  Record<number, { readonly name: string; readonly ownRss: boolean }>
> = {
  4333: { name: '82599 VF', ownRss: false },
  5397: { name: 'X540 VF', ownRss: false },
  5477: { name: 'X550 VF', ownRss: true },
  5544: { name: 'X550EM_x VF', ownRss: true },
  5573: { name: 'X550EM_a VF', ownRss: true },
};

/** Hyper-V variants: no usable mailbox, refused. */
export const HYPERV_VF_DEVICES: readonly number[] = [0x152e, 0x1530, 0x1564, 0x15a9, 0x15b4];

export const CONFIG_DEVICE_ID = 0x02;
export const CONFIG_COMMAND = 0x04;
/** Bit of CONFIG_COMMAND without which the device answers no register access; VFs of real hardware do not have it. */
export const COMMAND_MEMORY = 0x0002;
/** Bit of CONFIG_COMMAND without which the device does no DMA and sends no MSI-X. */
export const COMMAND_BUS_MASTER = 0x0004;

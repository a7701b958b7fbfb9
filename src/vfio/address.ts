// Device addresses: what a user types to name a VF.

/** A device address, taken apart. */
export type Address =
  | { readonly kind: 'pci'; readonly pci: string }
  | { readonly kind: 'vfio-user'; readonly path: string }
  | { readonly kind: 'model'; readonly port: number; readonly vf: number };

/** Domain, bus, device and function of a PCI address, all in hexadecimal. A domain has 4 digits, or up to 8 behind Intel's VMD. */
const PCI = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/i;

const FORMS = '0000:03:10.0 (a PCI address), vfio-user:/path/to.sock, or model:PORT.VF';

/**
 * A PCI address in full and lower case, as sysfs has it; the short form 03:10.0 gets domain 0000.
 * @returns undefined for any other text
 */
export function pciAddress(text: string): string | undefined {
  const [whole, domain = '0000', bus, slot, fn] = PCI.exec(text) ?? [];
  return whole === undefined ? undefined : `${domain}:${bus}:${slot}.${fn}`.toLowerCase();
}

/**
 * A PCI address some functions further on, as SR-IOV counts its VFs: by routing id, which is bus, device and function
 * as one number (PCIe 3.0, 2.2.4.2).
 * @param address in full
 */
export function addRoutingId(address: string, functions: number): string {
  const [, domain, bus, slot, fn] = PCI.exec(address) ?? [];
  const id =
    Number.parseInt(bus, 16) * 256 + Number.parseInt(slot, 16) * 8 + Number(fn) + functions;
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  return `${domain}:${hex(id >> 8)}:${hex((id >> 3) & 0x1f)}.${id & 7}`;
}

/**
 * Takes an address apart; the short PCI form 03:10.0 gets domain 0000.
 * @throws RangeError for anything else
 */
export function parseAddress(address: string): Address {
  const pci = pciAddress(address);
  if (pci !== undefined) return { kind: 'pci', pci };
  const user = /^vfio-user:(.+)$/.exec(address);
  if (user !== null) return { kind: 'vfio-user', path: user[1] };
  const model = /^model:(\d{1,3})\.(\d{1,2})$/.exec(address);
  if (model !== null) return { kind: 'model', port: Number(model[1]), vf: Number(model[2]) };
  throw new RangeError(`device address: expected ${FORMS}, got '${address}'`);
}

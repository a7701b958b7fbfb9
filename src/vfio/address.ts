// Device addresses: what a user types to name a VF.

/** A device address, taken apart. */
export type Address =
  | { readonly kind: 'pci'; readonly pci: string }
  | { readonly kind: 'vfio-user'; readonly path: string }
  | { readonly kind: 'model'; readonly port: number; readonly vf: number };

const FORMS = '0000:03:10.0 (a PCI address), vfio-user:/path/to.sock, or model:PORT.VF';

/**
 * Takes an address apart; the short PCI form 03:10.0 gets domain 0000.
 * @throws RangeError for anything else
 */
export function parseAddress(address: string): Address {
  const pci = /^(?:([0-9a-f]{4}):)?([0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/i.exec(address);
  if (pci !== null) {
    return { kind: 'pci', pci: `${pci[1] ?? '0000'}:${pci[2]}`.toLowerCase() };
  }
  const user = /^vfio-user:(.+)$/.exec(address);
  if (user !== null) return { kind: 'vfio-user', path: user[1] };
  const model = /^model:(\d{1,3})\.(\d{1,2})$/.exec(address);
  if (model !== null) return { kind: 'model', port: Number(model[1]), vf: Number(model[2]) };
  throw new RangeError(`device address: expected ${FORMS}, got '${address}'`);
}

// PCI device ids of the Physical Functions whose VFs this driver knows, for
// `ixy list` and `ixy bind`; nothing here drives a PF. Ids from linux
// ixgbe/ixgbe_type.h and DPDK ixgbe_type.h (bypass variants). Without 82598,
// which has no SR-IOV, and E610, whose VF this driver does not know.

/** PF device id by family; vendor 8086. */
const PF_FAMILIES: Readonly<Record<string, readonly number[]>> = {
  82599: [
    0x10f7, 0x10f8, 0x10f9, 0x10fb, 0x10fc, 0x1507, 0x1514, 0x1517, 0x151c, 0x1529, 0x152a, 0x154a,
    0x154d, 0x154f, 0x1557, 0x1558, 0x155d,
  ],
  X540: [0x1528, 0x155c, 0x1560],
  X550: [0x1563, 0x15d1],
  X550EM_x: [0x15aa, 0x15ab, 0x15ac, 0x15ad, 0x15ae, 0x15b0],
  X550EM_a: [
    0x15c2, 0x15c3, 0x15c4, 0x15c6, 0x15c7, 0x15c8, 0x15ca, 0x15cc, 0x15ce, 0x15e4, 0x15e5,
  ],
};

/** Family of a PF by device id: "82599"; undefined for any other device. */
export function pfFamilyOf(device: number): string | undefined {
  return Object.keys(PF_FAMILIES).find((family) => PF_FAMILIES[family]?.includes(device));
}

// The counters of a model's VF as one line for a person.

import type { NicCounters } from '../../model/nic.ts';

/** A VF's row for a person: what moved, then the drops that happened. */
export function countersLine(row: NicCounters): string {
  const drops = (
    [
      ['no descriptor', row.missedNoDescriptor],
      ['disabled', row.missedDisabled],
      ['spoofed', row.spoofed],
      ['filtered', row.filtered],
      ['IOMMU faults', row.iommuFaults],
      ['gaps', row.sinkGaps],
      ['duplicates', row.sinkDuplicates],
      ['corrupt', row.sinkCorrupt],
      ['not played', row.skipped],
      ['not written', row.unwritten],
    ] as const
  )
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${name}`);
  const tail = drops.length === 0 ? 'no drops' : drops.join(', ');
  return `model port ${row.port} VF ${row.vf}: offered ${row.offered}, delivered ${row.delivered}, came back ${row.sinkReceived}; ${tail}`;
}

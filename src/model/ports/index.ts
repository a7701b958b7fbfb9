// Makes the wire port that a SPEC names. TAP devices come from the context, since
// they need the system; everything else is made here.

import type { PortCounters, WirePort } from '../types.ts';
import { CablePort } from './cable.ts';
import type { WireContext } from './context.ts';
import { GenPort } from './generator.ts';
import { PcapPort } from './pcap.ts';
import { parsePortSpec } from './spec.ts';

export { Cables } from './cables.ts';
export type { WireContext } from './context.ts';

/** Offers nothing and swallows what leaves the chip. */
class NonePort implements WirePort {
  readonly spec = 'none';
  readonly linkUp = true;
  step(_budget: number): number {
    return 0;
  }
  transmit(_offsets: Int32Array, _lengths: Int32Array, _n: number, _vf: number): void {}
  addCounters(_vf: number, _counters: PortCounters): void {}
  close(): void {}
}

/**
 * Makes a port.
 * @param spec `none`, `gen...`, `pcap:...`, `tap:NAME` or `cable:N`
 * @throws RangeError for a spec that is wrong or does not fit the port; VfioError or PcapError where its
 * files cannot be used
 */
export function makePort(spec: string, context: WireContext): WirePort {
  const parsed = parsePortSpec(spec);
  switch (parsed.kind) {
    case 'none':
      return new NonePort();
    case 'gen':
      return new GenPort(spec, parsed, context);
    case 'pcap':
      return new PcapPort(spec, parsed, context);
    case 'cable':
      return new CablePort(spec, parsed.cable, context);
    case 'tap': {
      if (context.openTap === undefined) {
        throw new RangeError(
          `port spec "${spec}": expected a port that needs no TAP device, since this model cannot open one; use gen, pcap, cable or none`,
        );
      }
      return context.openTap(parsed.name, context);
    }
  }
}

// What the sources about the chip leave open, or what differs between chips and revisions, as modes of
// the model: a driver that is right lives through all of them. Who says what about each is the table
// of README.md in this folder. Here is only how a choice is written down and read.

import { DEVICE_82599_VF, DEVICE_X540_VF, DEVICE_X550_VF } from '../hw/pci.ts';

/** Which chip of the family the model is. */
export type MacType = '82599' | 'x540' | 'x550';

/** PCI device id of a VF of each. */
export const MAC_TYPES: Readonly<Record<MacType, number>> = {
  '82599': DEVICE_82599_VF,
  x540: DEVICE_X540_VF,
  x550: DEVICE_X550_VF,
};

/** What the model plays where sources are silent or disagree. */
export interface Silicon {
  /** VFMAILBOX.RSTD after a VF's own reset: microseconds until it shows, or -1 where it never does. Default 0. */
  readonly rstdUs: number;
  /** A stopped rx queue may still write frames for this long after ENABLE reads 0, microseconds. Default 0. */
  readonly lateDmaUs: number;
  /** What registers of queues that the PF did not grant read as: what was written, 0, all ones, or ENABLE set. Default 'kept'. */
  readonly ungranted: 'kept' | 'zero' | 'ones' | 'enable';
  /** ENABLE of a queue reads 0 while the PF has the VF's queues off (VFTE, VFRE). Default false. */
  readonly vfteTiesEnable: boolean;
  /** The tag of a port VLAN is taken from received frames; undefined: by MAC type, on X550 only. */
  readonly hideVlan: boolean | undefined;
  /** An X550's VFMRQC holds RSS of a driver before, which no reset clears. Default false. */
  readonly staleMrqc: boolean;
  /** How long ENABLE takes to follow what was written, microseconds. Default 0. */
  readonly enableLagUs: number;
  /** How long a function reads all ones after VFCTRL.RST or VFLR, microseconds. Default 0. */
  readonly resetLagUs: number;
  /** How long the PF takes to answer in the mailbox, microseconds. Default 0. */
  readonly mailboxLagUs: number;
  /** MSI-X messages are lost. Default false. */
  readonly msixLost: boolean;
}

/** The chip as the model plays it unless told otherwise. */
export const DEFAULT_SILICON: Silicon = {
  rstdUs: 0,
  lateDmaUs: 0,
  ungranted: 'kept',
  vfteTiesEnable: false,
  hideVlan: undefined,
  staleMrqc: false,
  enableLagUs: 0,
  resetLagUs: 0,
  mailboxLagUs: 0,
  msixLost: false,
};

/**
 * True where a mode plays with what a queue register reads as. On a shared page a store of the driver reads back at
 * once, whatever the chip would say; so such a mode traps every page.
 */
export function needsTraps(silicon: Silicon): boolean {
  const { ungranted, vfteTiesEnable, enableLagUs, resetLagUs } = silicon;
  return ungranted !== 'kept' || vfteTiesEnable || enableLagUs > 0 || resetLagUs > 0;
}

/** A lag of more than a second is a broken device, not a slow one. */
const MAX_US = 1_000_000;

/** How each mode is written, and what it sets. `value` is what stands behind "=", '' where nothing does. */
const MODES: Readonly<
  Record<string, { form: string; read(value: string): Partial<Silicon> | undefined }>
> = {
  rstd: {
    form: 'none, now or late:US',
    read: (value) => {
      if (value === 'none') return { rstdUs: -1 };
      if (value === 'now') return { rstdUs: 0 };
      const us = value.startsWith('late:') ? microseconds(value.slice(5)) : undefined;
      return us === undefined ? undefined : { rstdUs: us };
    },
  },
  'late-dma': lag((us) => ({ lateDmaUs: us })),
  ungranted: {
    form: '0, ones or enable',
    read: (value) =>
      value === '0'
        ? { ungranted: 'zero' }
        : value === 'ones' || value === 'enable'
          ? { ungranted: value }
          : undefined,
  },
  vfte: {
    form: 'ties-enable',
    read: (value) => (value === 'ties-enable' ? { vfteTiesEnable: true } : undefined),
  },
  'hide-vlan': {
    form: 'on or off',
    read: (value) => (value === 'on' || value === 'off' ? { hideVlan: value === 'on' } : undefined),
  },
  'stale-mrqc': flag({ staleMrqc: true }),
  'enable-lag': lag((us) => ({ enableLagUs: us })),
  'reset-lag': lag((us) => ({ resetLagUs: us })),
  'mbx-lag': lag((us) => ({ mailboxLagUs: us })),
  'msix-lost': flag({ msixLost: true }),
};

/** Every mode with the values it takes, for help texts. */
export const SILICON_HELP: string = Object.entries(MODES)
  .map(([name, { form }]) =>
    form === '' ? name : `${name}=${form.replaceAll(', ', '|').replace(' or ', '|')}`,
  )
  .join(', ');

/**
 * Reads modes such as "rstd=late:60,late-dma=90,msix-lost".
 * @throws RangeError for a mode that does not exist, or a value that it does not take
 */
export function parseSilicon(text: string): Silicon {
  let silicon = DEFAULT_SILICON;
  for (const part of text.split(',')) {
    const [name, ...rest] = part.split('=');
    const mode = Object.hasOwn(MODES, name) ? MODES[name] : undefined;
    if (mode === undefined) {
      throw new RangeError(`silicon: expected ${SILICON_HELP}, got '${part}'`);
    }
    const set = mode.read(rest.join('='));
    if (set === undefined) {
      const expected = mode.form === '' ? 'no value' : mode.form;
      throw new RangeError(`silicon ${name}: expected ${expected}, got '${part}'`);
    }
    silicon = { ...silicon, ...set };
  }
  return silicon;
}

function lag(set: (us: number) => Partial<Silicon>): (typeof MODES)[string] {
  return {
    form: 'US',
    read: (value) => {
      const us = microseconds(value);
      return us === undefined ? undefined : set(us);
    },
  };
}

function flag(set: Partial<Silicon>): (typeof MODES)[string] {
  return { form: '', read: (value) => (value === '' ? set : undefined) };
}

function microseconds(text: string): number | undefined {
  const us = Number(text);
  return /^\d{1,7}$/.test(text) && us <= MAX_US ? us : undefined;
}

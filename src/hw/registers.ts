// The registers of an 82599 Virtual Function, as a VF sees them in BAR0.
// Offsets and bits: 82599 DS r3.3 sec 8.3, as carried by linux ixgbevf/regs.h
// and DPDK ixgbe_vf.h. Queue registers sit 0x40 apart, 8 queues at most.
// The PF's own registers are not here.

import {
  type AccessKind,
  register as define,
  type FieldRanges,
  type Register,
  type RegisterOptions,
} from './define.ts';

/** Bytes of BAR0: four 4 KiB pages (control, rx, tx, RSS of later chips). */
export const BAR0_SIZE = 0x4000;
export const PAGE_SIZE = 0x1000;
/** Queues in the register file; how many a VF may use, the PF says (GET_QUEUES). */
export const MAX_QUEUES = 8;
/** MSI-X vectors of a VF. */
export const VECTORS = 3;
/** What any read gives when the function is gone or in FLR. */
export const ALL_ONES = 0xffffffff;

const declared: Register[] = [];
/** Every register below, in this order. */
export const REGISTERS: readonly Register[] = declared;

function register<const F extends FieldRanges = Record<never, never>>(
  name: string,
  offset: number,
  access: AccessKind,
  options?: RegisterOptions<F>,
): Register<F> {
  const made = define(name, offset, access, options);
  declared.push(made);
  return made;
}

const QUEUE = { step: 0x40, count: MAX_QUEUES } as const;

// ---- page 0: control ----

export const VFCTRL = register('VFCTRL', 0x0000, 'WO', {
  fields: { RST: [26, 26] },
});
/** Field meanings are unknown; used as a flush of posted writes and to probe for removal. */
export const VFSTATUS = register('VFSTATUS', 0x0008, 'RO');
/** Mirror of the port's LINKS. SPEED: 3 = 10G, 2 = 1G, 1 = 100M. */
export const VFLINKS = register('VFLINKS', 0x0010, 'RO', {
  fields: { LINK_UP: [30, 30], SPEED: [29, 28], NON_STANDARD_SPEED: [27, 27] },
});
export const VFFRTIMER = register('VFFRTIMER', 0x0048, 'RO');

// ---- page 0: interrupts; bit n is MSI-X vector n ----

const CAUSES = { CAUSE: [2, 0] } as const;
export const VTEICR = register('VTEICR', 0x0100, 'RC_W1C', { fields: CAUSES });
export const VTEICS = register('VTEICS', 0x0104, 'W1S', { fields: CAUSES });
/** Writing 1 enables a vector; reads give the mask. */
export const VTEIMS = register('VTEIMS', 0x0108, 'W1S', { fields: CAUSES });
/** Writing 1 disables a vector. */
export const VTEIMC = register('VTEIMC', 0x010c, 'WO', { fields: CAUSES });
export const VTEIAC = register('VTEIAC', 0x0110, 'RW', { fields: CAUSES });
export const VTEIAM = register('VTEIAM', 0x0114, 'RW', { fields: CAUSES });
/** Two queues a register, a byte each for rx and tx: vector number and VALID. */
export const VTIVAR = register('VTIVAR', 0x0120, 'RW', {
  step: 4,
  count: 4,
  fields: {
    RX_EVEN: [7, 0],
    TX_EVEN: [15, 8],
    RX_ODD: [23, 16],
    TX_ODD: [31, 24],
  },
});
export const VTIVAR_MISC = register('VTIVAR_MISC', 0x0140, 'RW', {
  fields: { MAILBOX: [7, 0] },
});
/** In each byte of VTIVAR and VTIVAR_MISC: the vector number is valid. */
export const IVAR_VALID = 0x80;
export const VTRSCINT = register('VTRSCINT', 0x0180, 'RW', {
  step: 4,
  count: 3,
});
/** INTERVAL counts 2.048 us at 1G and 10G; CNT_WDIS keeps the running counter from being written. */
export const VTEITR = register('VTEITR', 0x0820, 'RW', {
  step: 4,
  count: VECTORS,
  fields: { INTERVAL: [11, 3], LLI_MOD: [15, 15], CNT_WDIS: [31, 31] },
});

// ---- page 0: mailbox ----

/** The message buffer that VF and PF share. */
export const VFMBMEM = register('VFMBMEM', 0x0200, 'RW', {
  step: 4,
  count: 16,
});
/**
 * REQ and ACK: write 1 to signal the PF, read as 0. VFU: read-write, sets only while PFU is clear.
 * PFU, RSTI: read-only. PFSTS, PFACK, RSTD: any read clears them.
 */
export const VFMAILBOX = register('VFMAILBOX', 0x02fc, 'MIXED', {
  fields: {
    REQ: [0, 0],
    ACK: [1, 1],
    VFU: [2, 2],
    PFU: [3, 3],
    PFSTS: [4, 4],
    PFACK: [5, 5],
    RSTI: [6, 6],
    RSTD: [7, 7],
  },
});
/** The bits of VFMAILBOX that a read clears. */
export const VFMAILBOX_READ_TO_CLEAR =
  VFMAILBOX.mask.PFSTS | VFMAILBOX.mask.PFACK | VFMAILBOX.mask.RSTD;

/** RQPL is log2 of the number of RSS queues; the others choose the headers that header split knows. */
export const VFPSRTYPE = register('VFPSRTYPE', 0x0300, 'RW', {
  survivesReset: true,
  fields: {
    TCP: [4, 4],
    UDP: [5, 5],
    IPV4: [8, 8],
    IPV6: [9, 9],
    L2: [12, 12],
    RQPL: [31, 29],
  },
});

// ---- page 1: rx queues ----

export const VFRDBAL = register('VFRDBAL', 0x1000, 'RW', QUEUE);
export const VFRDBAH = register('VFRDBAH', 0x1004, 'RW', QUEUE);
/** Ring length in bytes, a multiple of 128. */
export const VFRDLEN = register('VFRDLEN', 0x1008, 'RW', QUEUE);
/** RESERVED_12 comes up as 1 and must be cleared (ixy, Snabb). */
export const VFDCA_RXCTRL = register('VFDCA_RXCTRL', 0x100c, 'RW', {
  ...QUEUE,
  survivesReset: true,
  fields: {
    DESC_DCA: [5, 5],
    HEAD_DCA: [6, 6],
    DATA_DCA: [7, 7],
    DESC_RRO: [9, 9],
    RESERVED_12: [12, 12],
    DATA_WRO: [13, 13],
    HEAD_WRO: [15, 15],
  },
});
/** The device owns it while the queue is enabled. */
export const VFRDH = register('VFRDH', 0x1010, 'RW', {
  ...QUEUE,
  survivesReset: true,
});
/** BSIZEPKT counts KiB, 1..16; BSIZEHDR counts 64 bytes. */
export const VFSRRCTL = register('VFSRRCTL', 0x1014, 'RW', {
  ...QUEUE,
  survivesReset: true,
  fields: {
    BSIZEPKT: [6, 0],
    BSIZEHDR: [13, 8],
    RDMTS: [24, 22],
    DESCTYPE: [27, 25],
    DROP_EN: [28, 28],
  },
});
/** SRRCTL.DESCTYPE: advanced descriptors, one buffer. */
export const DESCTYPE_ADVANCED_ONE_BUFFER = 1;
export const VFRDT = register('VFRDT', 0x1018, 'RW', {
  ...QUEUE,
  survivesReset: true,
});
/** RLPML: X540 and later only; RLPML_EN must stay 0 on an 82599. */
export const VFRXDCTL = register('VFRXDCTL', 0x1028, 'RW', {
  ...QUEUE,
  survivesReset: true,
  fields: {
    RLPML: [13, 0],
    RLPML_EN: [15, 15],
    ENABLE: [25, 25],
    SWFLSH: [26, 26],
    VME: [30, 30],
  },
});
export const VFRSCCTL = register('VFRSCCTL', 0x102c, 'RW', {
  ...QUEUE,
  fields: { RSCEN: [0, 0], TS_DIS: [1, 1], MAXDESC: [3, 2] },
});

// ---- page 1: counters, inside the block of queue 0; never cleared ----

export const VFGPRC = register('VFGPRC', 0x101c, 'RO');
export const VFGORC_LSB = register('VFGORC_LSB', 0x1020, 'RO');
export const VFGORC_MSB = register('VFGORC_MSB', 0x1024, 'RO', {
  fields: { OCTETS: [3, 0] },
});
export const VFMPRC = register('VFMPRC', 0x1034, 'RO');

// ---- page 2: tx queues ----

export const VFTDBAL = register('VFTDBAL', 0x2000, 'RW', QUEUE);
export const VFTDBAH = register('VFTDBAH', 0x2004, 'RW', QUEUE);
export const VFTDLEN = register('VFTDLEN', 0x2008, 'RW', QUEUE);
/** DESC_WRO stays 0: with it DD could overtake what it reports. */
export const VFDCA_TXCTRL = register('VFDCA_TXCTRL', 0x200c, 'RW', {
  ...QUEUE,
  survivesReset: true,
  fields: {
    DESC_DCA: [5, 5],
    DESC_RRO: [9, 9],
    DESC_WRO: [11, 11],
    DATA_RRO: [13, 13],
  },
});
export const VFTDH = register('VFTDH', 0x2010, 'RW', {
  ...QUEUE,
  survivesReset: true,
});
export const VFTDT = register('VFTDT', 0x2018, 'RW', {
  ...QUEUE,
  survivesReset: true,
});
/** PTHRESH, HTHRESH, WTHRESH count descriptors. WTHRESH 0: write back where RS asks for it. */
export const VFTXDCTL = register('VFTXDCTL', 0x2028, 'RW', {
  ...QUEUE,
  survivesReset: true,
  fields: {
    PTHRESH: [6, 0],
    HTHRESH: [14, 8],
    WTHRESH: [22, 16],
    ENABLE: [25, 25],
    SWFLSH: [26, 26],
  },
});
export const VFTDWBAL = register('VFTDWBAL', 0x2038, 'RW', {
  ...QUEUE,
  survivesReset: true,
  fields: { ENABLE: [0, 0], ADDRESS: [31, 2] },
});
export const VFTDWBAH = register('VFTDWBAH', 0x203c, 'RW', {
  ...QUEUE,
  survivesReset: true,
});

// ---- page 2: counters ----

export const VFGPTC = register('VFGPTC', 0x201c, 'RO');
export const VFGOTC_LSB = register('VFGOTC_LSB', 0x2020, 'RO');
export const VFGOTC_MSB = register('VFGOTC_MSB', 0x2024, 'RO', {
  fields: { OCTETS: [3, 0] },
});

// ---- page 3: RSS, X550 and later; an 82599 VF has none of these ----

/** RSSEN, and what of a frame is hashed. The UDP and extension types are known from the PF's register of this layout (DPDK). */
export const VFMRQC = register('VFMRQC', 0x3000, 'RW', {
  fields: {
    RSSEN: [0, 0],
    IPV4_TCP: [16, 16],
    IPV4: [17, 17],
    IPV6_EX_TCP: [18, 18],
    IPV6_EX: [19, 19],
    IPV6: [20, 20],
    IPV6_TCP: [21, 21],
    IPV4_UDP: [22, 22],
    IPV6_UDP: [23, 23],
    IPV6_EX_UDP: [24, 24],
  },
});
/** The 40 bytes of the hash key. */
export const VFRSSRK = register('VFRSSRK', 0x3100, 'RW', {
  step: 4,
  count: 10,
});
/** Listed for all chips, used by no VF driver. */
export const VFRXMEMWRAP = register('VFRXMEMWRAP', 0x3190, 'RO');
/** 64 entries of a byte, the queue of each. */
export const VFRETA = register('VFRETA', 0x3200, 'RW', { step: 4, count: 16 });

/** The registers that every rx queue has, and every tx queue under other names. */
export const RX_QUEUE = {
  base: VFRDBAL,
  baseHigh: VFRDBAH,
  length: VFRDLEN,
  head: VFRDH,
  tail: VFRDT,
  control: VFRXDCTL,
};
export const TX_QUEUE = {
  base: VFTDBAL,
  baseHigh: VFTDBAH,
  length: VFTDLEN,
  head: VFTDH,
  tail: VFTDT,
  control: VFTXDCTL,
};
export type QueueRegisters = typeof RX_QUEUE | typeof TX_QUEUE;

// Pages 0 and 3 of a VF's BAR0: control, interrupts, mailbox. What each register
// does when read or written, by the access kinds of src/hw/registers.ts.
// docs/82599-vf.md sec 2.1 and 8. Queue registers are in queue-registers.ts.

import {
  IVAR_VALID,
  VECTORS,
  VFCTRL,
  VFFRTIMER,
  VFLINKS,
  VFMAILBOX,
  VFMBMEM,
  VFMRQC,
  VFPSRTYPE,
  VFRETA,
  VFRSSRK,
  VTEIAC,
  VTEIAM,
  VTEICR,
  VTEICS,
  VTEIMC,
  VTEIMS,
  VTEITR,
  VTIVAR,
  VTIVAR_MISC,
  VTRSCINT,
} from '../../hw/registers.ts';
import type { Clock } from '../../support/clock.ts';
import type { OwnRss } from '../types.ts';
import type { Interrupts } from './interrupts.ts';
import type { MailboxBlock } from './mailbox-block.ts';
import { type RegisterWord, type Report, readable, writableWord } from './register-table.ts';

/** VFLINKS.SPEED: 10 Gbit/s. */
const SPEED_10G = 3;

/** What page 0 is made of. */
export interface ControlParts {
  readonly interrupts: Interrupts;
  readonly mailbox: MailboxBlock;
  readonly clock: Clock;
  readonly linkUp: () => boolean;
  readonly report: Report;
  /** Page 3 of an X550. */
  readonly ownRss: OwnRss | undefined;
  /** VFCTRL.RST. */
  readonly softwareReset: () => void;
}

/** Page 0 and page 3 of one VF. */
export class VfRegisters {
  /** VFPSRTYPE; survives every reset of the VF. RQPL of it steers RSS. */
  headerSplitTypes = 0;
  private readonly parts: ControlParts;

  constructor(parts: ControlParts) {
    this.parts = parts;
  }

  read(offset: number): number {
    const { report, ownRss } = this.parts;
    const word = readable(offset, report, ownRss !== undefined);
    return word === null ? 0 : this.value(word) >>> 0;
  }

  write(offset: number, value: number): void {
    const { report, ownRss } = this.parts;
    const word = writableWord(offset, value, report, ownRss !== undefined);
    // Reserved bits are reported, then dropped: silicon reads them as 0.
    if (word !== null) this.store(word, (value & word.known) >>> 0);
  }

  private value(word: RegisterWord): number {
    const { interrupts, mailbox, clock, linkUp, ownRss } = this.parts;
    switch (word.register) {
      case VFLINKS:
        return linkUp() ? VFLINKS.mask.LINK_UP | (SPEED_10G << VFLINKS.shift.SPEED) : 0;
      case VFFRTIMER:
        // Units are unknown (docs/82599-vf.md sec 2.1); it runs, that is all a driver may rely on.
        return Math.floor(clock.nowUs()) % 2 ** 32;
      case VTEICR:
        return interrupts.readCauses();
      case VTEICS:
      case VTEIMS:
        return word.register === VTEIMS ? interrupts.mask : 0;
      case VTEIAC:
        return interrupts.autoClear;
      case VTEIAM:
        return interrupts.autoMask;
      case VTIVAR:
        return interrupts.vectorMap[word.index];
      case VTIVAR_MISC:
        return interrupts.miscVector;
      case VTRSCINT:
        return interrupts.coalescing[word.index];
      case VTEITR:
        return interrupts.readThrottle(word.index);
      case VFMBMEM:
        return mailbox.words[word.index];
      case VFMAILBOX:
        return mailbox.readControl();
      case VFPSRTYPE:
        return this.headerSplitTypes;
      case VFMRQC:
        return ownRss?.mrqc ?? 0;
      case VFRSSRK:
        return ownRss?.key[word.index] ?? 0;
      case VFRETA:
        return ownRss?.table[word.index] ?? 0;
      default:
        // VFSTATUS and VFRXMEMWRAP: contents unknown, never all ones.
        return 0;
    }
  }

  private store(word: RegisterWord, value: number): void {
    const { interrupts, mailbox, ownRss } = this.parts;
    switch (word.register) {
      case VFCTRL:
        if ((value & VFCTRL.mask.RST) !== 0) this.parts.softwareReset();
        break;
      case VTEICR:
        interrupts.clearCauses(value);
        break;
      case VTEICS:
        interrupts.setCauses(value);
        break;
      case VTEIMS:
        interrupts.enable(value);
        break;
      case VTEIMC:
        interrupts.disable(value);
        break;
      case VTEIAC:
        interrupts.autoClear = value;
        break;
      case VTEIAM:
        interrupts.autoMask = value;
        break;
      case VTIVAR:
        this.checkVectors(word, value);
        interrupts.vectorMap[word.index] = value;
        break;
      case VTIVAR_MISC:
        this.checkVectors(word, value);
        interrupts.miscVector = value;
        break;
      case VTRSCINT:
        interrupts.coalescing[word.index] = value;
        break;
      case VTEITR:
        interrupts.writeThrottle(word.index, value);
        break;
      case VFMBMEM:
        mailbox.writeWord(word.index, value);
        break;
      case VFMAILBOX:
        mailbox.writeControl(value);
        break;
      case VFPSRTYPE:
        this.headerSplitTypes = value;
        break;
      case VFMRQC:
        if (ownRss !== undefined) ownRss.mrqc = value;
        break;
      case VFRSSRK:
        ownRss?.key.fill(value, word.index, word.index + 1);
        break;
      case VFRETA:
        ownRss?.table.fill(value, word.index, word.index + 1);
        break;
      default:
        break;
    }
  }

  /** A valid entry names one of the vectors there are. */
  private checkVectors(word: RegisterWord, value: number): void {
    for (let shift = 0; shift < 32; shift += 8) {
      const entry = (value >>> shift) & 0xff;
      if ((entry & IVAR_VALID) !== 0 && (entry & ~IVAR_VALID) >= VECTORS) {
        const detail = `${word.name} maps to vector ${entry & ~IVAR_VALID}, expected 0 to ${VECTORS - 1}`;
        this.parts.report('reserved-bits', word.offset, detail);
      }
    }
  }
}

// The steps of the doctor, in order. Each is given the patient as the step before left it.

import type { Finding } from '../finding.ts';
import type { Patient } from '../patient.ts';
import { events } from './events.ts';
import { faults } from './faults.ts';
import { host } from './host.ts';
import { lateDma } from './late-dma.ts';
import { load } from './load.ts';
import { mailbox } from './mailbox.ts';
import { queues } from './queues.ts';
import { receive } from './receive.ts';
import { registers } from './registers.ts';
import { reset } from './reset.ts';
import { transmit } from './transmit.ts';
import { vfio } from './vfio.ts';

/** Steps that are done only when they are asked for by an option of this name. */
export type Extra = 'events' | 'faults' | 'load';

/** One step. */
export interface Step {
  readonly number: number;
  readonly name: string;
  /** The device is given memory: not done with --no-dma. */
  readonly dma: boolean;
  /** Absent: it is always done. */
  readonly extra?: Extra;
  /** How long it may go on; default 5. */
  readonly seconds?: number;
  /** Looks, and says what it finds as it finds it, so that it can be ended between two findings. */
  look(patient: Patient): AsyncGenerator<Finding>;
}

export const STEPS: readonly Step[] = [
  { number: 1, name: 'host', dma: false, look: host },
  { number: 2, name: 'vfio', dma: false, look: vfio },
  { number: 3, name: 'registers', dma: false, look: registers },
  { number: 4, name: 'reset', dma: false, look: reset },
  { number: 5, name: 'mailbox', dma: false, look: mailbox },
  { number: 6, name: 'queues', dma: false, look: queues },
  { number: 7, name: 'transmit', dma: true, seconds: 15, look: transmit },
  { number: 8, name: 'receive', dma: true, seconds: 15, look: receive },
  { number: 9, name: 'late DMA', dma: true, seconds: 15, look: lateDma },
  { number: 10, name: 'events', dma: true, extra: 'events', seconds: 400, look: events },
  { number: 11, name: 'faults', dma: true, extra: 'faults', seconds: 15, look: faults },
  { number: 12, name: 'load', dma: true, extra: 'load', seconds: 25, look: load },
];

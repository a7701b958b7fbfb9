// The steps of the doctor, in order. Each is given the patient as the step before left it.

import type { Finding } from '../finding.ts';
import type { Patient } from '../patient.ts';
import { host } from './host.ts';
import { mailbox } from './mailbox.ts';
import { queues } from './queues.ts';
import { registers } from './registers.ts';
import { reset } from './reset.ts';
import { vfio } from './vfio.ts';

/** One step. */
export interface Step {
  readonly number: number;
  readonly name: string;
  /** Takes memory that the device may reach: not done with --no-dma. */
  readonly dma: boolean;
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
];

// Step 10: what the VF is told of what happens to its port. A person does it, since no VF can: pulls the cable,
// sets the PF down and up, changes trust. What the driver sees is written down as it changes.

import type { Health } from '../../../ixgbevf/health.ts';
import { docs, type Finding, judged, skipped, time } from '../finding.ts';
import { type Patient, waitLong } from '../patient.ts';

/** How long a person may take. */
const PATIENCE_US = 60_000_000;

/** One thing to be done, and how the driver sees that it was. */
interface Task {
  readonly what: string;
  /** What the person is asked. */
  readonly ask: string;
  readonly expected: string;
  readonly section: string;
  readonly seen: (health: Health) => boolean;
  /** The VF has to be registered anew afterwards. */
  readonly restart: boolean;
}

const down = ({ link }: Health): boolean => !link.up;
const isUp = ({ link, resetNeeded }: Health): boolean => link.up && !resetNeeded;
const lost = ({ resetNeeded }: Health): boolean => resetNeeded;

const TASKS: readonly Task[] = [
  {
    what: 'cable out',
    ask: 'pull the cable of the port',
    expected: 'link down, the registration stays',
    section: '5.7',
    seen: (health) => down(health) && !health.resetNeeded,
    restart: false,
  },
  {
    what: 'cable in',
    ask: 'put the cable back',
    expected: 'link up',
    section: '5.6',
    seen: isUp,
    restart: false,
  },
  {
    what: 'PF down',
    ask: 'on the host: ip link set PF down',
    expected: 'RSTI, or a message without CTS',
    section: '4.6, 4.7',
    seen: lost,
    restart: false,
  },
  {
    what: 'PF up',
    ask: 'on the host: ip link set PF up',
    expected: 'the VF registers again, link up',
    section: '5.7',
    seen: isUp,
    restart: true,
  },
  {
    what: 'trust changed',
    ask: 'on the host: ip link set PF vf N trust on',
    expected: 'a message without CTS',
    section: '4.6, 4.7',
    seen: lost,
    restart: false,
  },
  {
    what: 'registered again',
    ask: 'nothing: the VF registers again',
    expected: 'link up',
    section: '5.7',
    seen: isUp,
    restart: true,
  },
];

/** What the VF sees of its host. */
export async function* events(patient: Patient): AsyncGenerator<Finding> {
  for (const task of TASKS) yield await follow(patient, task);
}

async function follow(patient: Patient, task: Task): Promise<Finding> {
  const { what, expected, section } = task;
  patient.subject.ask(task.ask);
  const changes: string[] = [];
  let last = '';
  const { done } = await waitLong(
    patient,
    PATIENCE_US,
    (us) => {
      if (task.restart) restart(patient);
      const health = patient.self.vf.checkHealth();
      const { link, resetReason } = health;
      const said = `link ${link.up ? 'up' : 'down'}${resetReason === '' ? '' : `, ${resetReason}`}`;
      if (said !== last) changes.push(`${said} at ${time(us)}`);
      last = said;
      return Number(task.seen(health));
    },
    (seen) => seen === 1,
  );
  const seen = changes.join('; ');
  if (done) return judged(true, what, expected, docs(section), seen);
  return skipped(what, expected, docs(section), `${seen}; nothing else in ${time(PATIENCE_US)}`);
}

/** Registers both VFs again: the peer may hang on the same PF. One that is not back refuses; the next look tries again. */
function restart({ self, other }: Patient): void {
  for (const { vf } of other === undefined ? [self] : [self, other]) {
    try {
      if (vf.checkHealth().resetNeeded) vf.restart();
    } catch {
      // checkHealth() says what is missing.
    }
  }
}

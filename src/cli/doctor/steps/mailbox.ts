// Step 5: the mailbox. Every message that a driver sends while it comes up, with its raw reply and how long that
// took, and which bits of VFMAILBOX a read clears. The driver's own mailbox, with an ear at the register.

import {
  API_CODE,
  API_ORDER,
  type ApiVersion,
  apiAtLeast,
  MESSAGE,
  REQUEST,
  XCAST,
} from '../../../hw/mailbox.ts';
import { MAX_QUEUES, VFMAILBOX } from '../../../hw/registers.ts';
import { Mailbox } from '../../../ixgbevf/mailbox/mailbox.ts';
import { MailboxError } from '../../../support/errors.ts';
import { formatMac, macFromWords, macToWords } from '../../../support/mac.ts';
import { finish } from '../../../support/poll.ts';
import type { VfioDevice } from '../../../vfio/device.ts';
import { docs, type Finding, hex, judged, time, unusable } from '../finding.ts';
import type { Patient } from '../patient.ts';

const { ACK, NACK, CTS, OPCODE } = MESSAGE.mask;
const MAX_FRAME = 1518;
/** A PF takes some 100 us, on a busy machine some ms. */
const LAG_US = 5000;

/** A device that writes down what VFMAILBOX was read as. */
function overheard(device: VfioDevice, heard: number[]): VfioDevice {
  return new Proxy(device, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name !== 'read32') return typeof value === 'function' ? value.bind(target) : value;
      return (offset: number): number => {
        const read = target.read32(offset);
        if (offset === VFMAILBOX.offset) heard.push(read);
        return read;
      };
    },
  });
}

/** Words of a message without the zeros at its end. */
function wordsOf(words: readonly number[]): string {
  const last = words.findLastIndex((word) => word !== 0);
  return words
    .slice(0, Math.max(last, 0) + 1)
    .map((word) => (word >>> 0).toString(16).padStart(8, '0'))
    .join(' ');
}

/** A conversation with the PF, and how long its answers took. */
class Conversation {
  readonly heard: number[] = [];
  readonly times: number[] = [];
  private readonly mailbox: Mailbox;
  private readonly patient: Patient;

  constructor(patient: Patient) {
    this.patient = patient;
    this.mailbox = new Mailbox(overheard(patient.device, this.heard), patient.clock);
  }

  /** @returns the reply, whatever it is; undefined where there was none, and what to say of both. */
  ask(words: readonly number[], replyWords: number): { reply: number[] | undefined; seen: string } {
    const { clock } = this.patient;
    const startUs = clock.nowUs();
    let reply: number[] | undefined;
    let failure = '';
    try {
      reply = finish(this.mailbox.exchange(words, replyWords));
    } catch (error) {
      if (!(error instanceof MailboxError)) throw error;
      failure = error.message;
    }
    const us = clock.nowUs() - startUs;
    if (reply !== undefined) this.times.push(us);
    const said = reply === undefined ? failure : wordsOf(reply);
    return { reply, seen: `sent ${wordsOf(words)}, got ${said} after ${time(us)}` };
  }
}

/** One request whose reply is judged by its first word. */
interface Question {
  readonly what: string;
  readonly words: readonly number[];
  readonly replyWords: number;
  readonly expected: string;
  readonly section: string;
  /** Judges the reply further; default: ACK and CTS. */
  readonly holds?: (reply: readonly number[]) => boolean;
}

const granted = ([word]: readonly number[]): boolean => (word & ACK) !== 0 && (word & CTS) !== 0;
const answered = ([word]: readonly number[]): boolean => (word & (ACK | NACK)) !== 0;

/** What the PF answers. */
export async function* mailbox(patient: Patient): AsyncGenerator<Finding> {
  const talk = new Conversation(patient);
  const first = talk.ask([REQUEST.RESET], 4);
  const [word = 0, low = 0, high = 0, filter = 0] = first.reply ?? [];
  const expected = '80000001 with the MAC that the host assigned, or 40000001; no CTS';
  const code = word & ~OPCODE;
  if (first.reply === undefined) {
    yield unusable('RESET', expected, docs('4.5'), `${first.seen}; is the PF's interface up?`);
    return;
  }
  const isReset = code === (ACK | 0) || code === NACK;
  const mac = (word & ACK) !== 0 ? formatMac(macFromWords(low, high)) : 'none';
  yield judged(
    isReset,
    'RESET',
    expected,
    docs('4.5'),
    `${first.seen}: MAC ${mac}, filter ${filter}`,
  );
  const version = yield* negotiate(talk);
  yield* grantOf(patient, talk, version);
  for (const question of questions(version, word, [low, high])) {
    const { reply, seen } = talk.ask(question.words, question.replyWords);
    const { what, section, holds = granted } = question;
    yield judged(reply !== undefined && holds(reply), what, question.expected, docs(section), seen);
  }
  yield replyTimes(talk.times);
  yield* clearing(talk.heard);
}

function* negotiate(talk: Conversation): Generator<Finding, ApiVersion> {
  for (const version of API_ORDER.toReversed()) {
    // It would change how messages are carried.
    if (version === '1.5') continue;
    const { reply, seen } = talk.ask([REQUEST.API_NEGOTIATE, API_CODE[version], 0], 1);
    yield judged(
      reply !== undefined && answered(reply),
      `API_NEGOTIATE ${version}`,
      'ACK, or NACK until one is taken: Linux 6.1 takes 1.4, 7.3 takes 1.7, DPDK 1.3',
      docs('4.4'),
      seen,
    );
    if (reply === undefined || granted(reply)) return version;
  }
  return '1.0';
}

function* grantOf(patient: Patient, talk: Conversation, version: ApiVersion): Generator<Finding> {
  if (!apiAtLeast(version, '1.1')) return;
  const { reply, seen } = talk.ask([REQUEST.GET_QUEUES, 0, 0, 0, 0], 5);
  const [, txQueues = 1, rxQueues = 1, classes = 0, first = 0] = reply ?? [];
  const isCount = (count: number): boolean => count >= 1 && count <= MAX_QUEUES;
  const isSound = isCount(txQueues) && isCount(rxQueues);
  if (reply !== undefined && isSound) patient.grant = { rxQueues, txQueues, classes };
  yield judged(
    reply !== undefined && granted(reply) && isSound && classes === 0 && first === 0,
    'GET_QUEUES',
    'ACK; 1 to 8 tx and rx queues; word 3 is 0, else a port VLAN or traffic classes; default queue 0',
    docs('4.5'),
    seen,
  );
}

/** The rest of what a driver asks while it comes up. @param word of the reply to RESET, with its MAC in two words */
function questions(
  version: ApiVersion,
  word: number,
  mac: readonly [number, number],
): readonly Question[] {
  const own: readonly Question[] =
    (word & ACK) === 0
      ? []
      : [
          {
            what: 'SET_MAC_ADDR with the assigned MAC',
            words: [REQUEST.SET_MAC_ADDR, ...macToWords(macFromWords(...mac))],
            replyWords: 1,
            expected: 'ACK',
            section: '4.5',
          },
        ];
  const frame: Question = {
    what: `SET_LPE ${MAX_FRAME}`,
    words: [REQUEST.SET_LPE, MAX_FRAME],
    replyWords: 1,
    expected: 'ACK',
    section: '7.7',
  };
  if (!apiAtLeast(version, '1.2')) return [...own, frame];
  return [
    ...own,
    frame,
    {
      what: 'UPDATE_XCAST_MODE multicast',
      words: [REQUEST.UPDATE_XCAST_MODE, XCAST.MULTI],
      replyWords: 2,
      expected: 'ACK; word 1 the mode that holds',
      section: '7.5',
    },
    {
      what: 'GET_RETA',
      words: [REQUEST.GET_RETA],
      replyWords: 9,
      expected: 'NACK, unless the host has query_rss on',
      section: '4.5',
      holds: answered,
    },
    {
      what: 'GET_RSS_KEY',
      words: [REQUEST.GET_RSS_KEY],
      replyWords: 11,
      expected: 'NACK, unless the host has query_rss on',
      section: '4.5',
      holds: answered,
    },
    {
      what: 'GET_LINK_STATE',
      words: [REQUEST.GET_LINK_STATE, 0],
      replyWords: 2,
      expected: 'ACK, word 1 is 1, else the host disabled the link; a DPDK PF refuses it',
      section: '4.5',
      holds: (reply) => answered(reply) && ((reply[0] & NACK) !== 0 || reply[1] !== 0),
    },
  ];
}

function replyTimes(times: readonly number[]): Finding {
  const sorted = times.toSorted((a, b) => a - b);
  const [least = 0] = sorted;
  const [most = 0] = sorted.slice(-1);
  return judged(
    most < 1e6,
    'time of a reply',
    'within 1 s: 2000 looks, 500 us apart',
    docs('4.2'),
    `least ${time(least)}, most ${time(most)} of ${times.length}`,
    least < LAG_US ? {} : { silicon: `mbx-lag=${Math.round(least)}` },
  );
}

/** A bit that was read as 1 and is 1 in the read that follows was not cleared, or was set again at once. */
function* clearing(heard: readonly number[]): Generator<Finding> {
  for (const [name, mask] of Object.entries(VFMAILBOX.mask)) {
    const clears = ['PFSTS', 'PFACK', 'RSTD'].includes(name);
    const isStatus = clears || name === 'PFU';
    const shown = heard.filter((value, i) => (value & mask) !== 0 && i + 1 < heard.length).length;
    if (!isStatus || shown === 0) continue;
    const stayed = heard.filter(
      (value, i) => (value & mask) !== 0 && ((heard[i + 1] ?? 0) & mask) !== 0,
    ).length;
    yield judged(
      !clears || stayed === 0,
      `VFMAILBOX.${name} in the read after one that showed it`,
      clears ? '0: a read clears it' : 'whatever the PF does',
      docs('4.1'),
      `1 in ${stayed} of ${shown}`,
      { raw: heard.map(hex) },
    );
  }
}

// The words of `ixy pf`, which are those of `ip link` and `tc` where they have them: "0 vf 1 vlan 7 qos 3". One table
// for the command, the control socket, `ixy model --set` and programs that have the model in themselves.

import { parseMac } from '../../support/mac.ts';
import type { Pf } from '../pf/pf.ts';
import type { VfLinkState } from '../pf/types.ts';
import type { ModelHost } from './host.ts';

/** Does what words said. @throws RangeError where the model refuses it */
export type HostAct = (host: ModelHost) => void;

/** What a verb does to a port, or to a VF of one. */
type Act = (host: ModelHost, port: number, vf: number) => void;

interface Verb {
  /** As help and errors show it. */
  readonly form: string;
  /** @returns what to do, or null where the arguments are not those of the form */
  read(args: readonly string[]): Act | null;
}

const PORT_VERBS: ReadonlyMap<string, Verb> = table(
  plain('reset', (host, port) => host.pf(port).reset()),
  plain('down', (host, port) => host.pf(port).goDown()),
  plain('up', (host, port) => host.pf(port).comeUp()),
  numbered('mtu N', (pf, _vf, mtu) => pf.setMtu(mtu)),
  choice('cable', ['in', 'out'], (host, port, _vf, word) => host.setCable(port, word === 'in')),
  optional('tc N [default CLASS]', (pf, _vf, classes, first) =>
    pf.setTrafficClasses(classes, first),
  ),
);

const VF_VERBS: ReadonlyMap<string, Verb> = table(
  {
    form: 'mac MAC|none',
    read: ([text = '', ...rest]) => {
      if (rest.length > 0) return null;
      // All zeros take the assignment back, as with `ip link`.
      const given = text === 'none' ? new Uint8Array(6) : parseMac('mac', text);
      const mac = given.some((byte) => byte !== 0) ? given : null;
      return (host, port, vf) => host.pf(port).setAdminMac(vf, mac);
    },
  },
  optional('vlan ID [qos P]', (pf, vf, vid, priority) => pf.setPortVlan(vf, vid, priority)),
  onOff('trust', (pf, vf, on) => pf.setTrust(vf, on)),
  onOff('spoofchk', (pf, vf, on) => pf.setSpoofCheck(vf, on)),
  choice<VfLinkState>('state', ['auto', 'enable', 'disable'], (host, port, vf, state) =>
    host.pf(port).setLinkState(vf, state),
  ),
  numbered('rate MBIT', (pf, vf, mbit) => pf.setRate(vf, mbit)),
  onOff('query_rss', (pf, vf, on) => pf.setQueryRss(vf, on)),
  plain('unplug', (host, port, vf) => host.unplug(port, vf)),
  plain('plug', (host, port, vf) => host.plug(port, vf)),
  plain('error', (host, port, vf) => host.reportError(port, vf)),
);

/** All that can be said, a line each: "PORT mtu N". */
export const WORD_FORMS: readonly string[] = [
  ...[...PORT_VERBS.values()].map(({ form }) => `PORT ${form}`),
  ...[...VF_VERBS.values()].map(({ form }) => `PORT vf VF ${form}`),
];

/**
 * Reads words; whether port, VF and values exist is for the model to say.
 * @throws RangeError for words that nobody understands, TypeError for a MAC address of another form
 */
export function parseWords(words: readonly string[]): HostAct {
  const port = integer(words[0]);
  if (port === null) throw unknown('a port number', words[0]);
  if (words[1] !== 'vf') return verb(PORT_VERBS, words.slice(1), `${port}`, port, 0);
  const vf = integer(words[2]);
  if (vf === null) throw unknown(`a VF number after "${port} vf"`, words[2]);
  return verb(VF_VERBS, words.slice(3), `${port} vf ${vf}`, port, vf);
}

function verb(
  verbs: ReadonlyMap<string, Verb>,
  [name = '', ...args]: readonly string[],
  before: string,
  port: number,
  vf: number,
): HostAct {
  const found = verbs.get(name);
  if (found === undefined) throw unknown(`${[...verbs.keys()].join(', ')} after "${before}"`, name);
  const act = found.read(args);
  if (act === null) throw unknown(`"${before} ${found.form}"`, [before, name, ...args].join(' '));
  return (host) => act(host, port, vf);
}

function unknown(expected: string, got = ''): RangeError {
  return new RangeError(`expected ${expected}, got "${got}"`);
}

function table(...verbs: readonly Verb[]): ReadonlyMap<string, Verb> {
  return new Map(verbs.map((one) => [one.form.split(' ')[0], one]));
}

function plain(form: string, act: Act): Verb {
  return { form, read: (args) => (args.length === 0 ? act : null) };
}

function numbered(form: string, set: (pf: Pf, vf: number, value: number) => void): Verb {
  return {
    form,
    read: ([text, ...rest]) => {
      const value = integer(text);
      if (rest.length > 0 || value === null) return null;
      return (host, port, vf) => set(host.pf(port), vf, value);
    },
  };
}

/** A number, and maybe a second one after the keyword of the form; 0 without. */
function optional(
  form: string,
  set: (pf: Pf, vf: number, value: number, second: number) => void,
): Verb {
  const keyword = /\[(\w+)/.exec(form)?.[1];
  return {
    form,
    read: ([text, word, more, ...rest]) => {
      const value = integer(text);
      const second = word === undefined ? 0 : integer(more);
      if (value === null || second === null || rest.length > 0) return null;
      if (word !== undefined && word !== keyword) return null;
      return (host, port, vf) => set(host.pf(port), vf, value, second);
    },
  };
}

function choice<T extends string>(
  name: string,
  known: readonly T[],
  act: (host: ModelHost, port: number, vf: number, word: T) => void,
): Verb {
  return {
    form: `${name} ${known.join('|')}`,
    read: ([text, ...rest]) => {
      const word = known.find((one) => one === text);
      if (rest.length > 0 || word === undefined) return null;
      return (host, port, vf) => act(host, port, vf, word);
    },
  };
}

function onOff(name: string, set: (pf: Pf, vf: number, on: boolean) => void): Verb {
  return choice(name, ['on', 'off'], (host, port, vf, word) =>
    set(host.pf(port), vf, word === 'on'),
  );
}

function integer(text = ''): number | null {
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}

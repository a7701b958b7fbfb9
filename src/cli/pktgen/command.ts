// `ixy pktgen`: generates frames and measures what comes back. This file opens the devices,
// starts the generating thread (generator.ts), prints rates and ends it all. Options:
// plan.ts; frames: traffic/test-frame.ts.

import { setTimeout as sleep } from 'node:timers/promises';
import type { IxgbeVf } from '../../ixgbevf/vf.ts';
import { open } from '../../open.ts';
import { CaptureInput } from '../../support/pcap/input.ts';
import { PcapReader } from '../../support/pcap/reader.ts';
import { PLAY_RULE } from '../../traffic/captured-frame.ts';
import {
  type Command,
  HELP_OPTION,
  INTERVAL_OPTION,
  JSON_OPTION,
  type ParsedArguments,
  WAIT_OPTION,
} from '../arguments.ts';
import { followDevice, recovering } from '../run/follow-device.ts';
import { HostedModel } from '../run/hosted-model.ts';
import { RunReport, warnOfFewCpus } from '../run/report.ts';
import { scaled } from '../run/scaled.ts';
import { Session } from '../run/session.ts';
import { Generator } from './generator.ts';
import { type PktgenPlan, pktgenPlan } from './plan.ts';

const LINK_MS = 5000;
const STUCK_MS = 10_000;
/** More than a tx ring holds: all that is under way has a place when the thread is held up. */
const RX_RING = 2048;

/** Waits until the devices have link, so that the first frames are not lost. @throws Error where it stays down */
async function waitForLink(devices: readonly IxgbeVf[], session: Session): Promise<void> {
  const endMs = performance.now() + LINK_MS;
  for (const vf of devices) {
    while (!session.over && !vf.link().up) {
      if (performance.now() > endMs) {
        throw new Error(
          `${vf.address}: expected link, got none for ${LINK_MS / 1000} s; is the PF up and its cable in?`,
        );
      }
      await sleep(10);
    }
  }
}

/** @throws Error where a device does not take frames */
function checkDevices(devices: readonly IxgbeVf[]): void {
  for (const vf of devices.filter(({ running }) => running)) {
    const { stuck } = vf.checkHealth();
    if (stuck.length > 0) throw new Error(`${vf.address}: ${stuck[0].message}`);
  }
}

function introduce(session: Session, plan: PktgenPlan, devices: readonly IxgbeVf[]): void {
  const [vf, other] = devices;
  const from = `${plan.address} (${vf.mac})`;
  const to = other === undefined ? 'measuring what comes back' : `${plan.rxAddress} (${other.mac})`;
  session.print(`${from} -> ${to}`);
}

function summary(generator: Generator): string {
  const { sent, received, gaps, duplicates, corrupt, skipped } = generator.report();
  const checks =
    gaps === null
      ? `${skipped} frames of the capture not played`
      : `${gaps} gaps, ${duplicates} duplicates, ${corrupt} corrupt`;
  const left = generator.left === 0 ? '' : ` (${generator.left} more stayed in the tx ring)`;
  return `generator: sent ${sent}${left}, received ${received}; ${checks}`;
}

/** Says on stderr, or under --strict by the exit status, that the rate was not reached. */
function judgeRate({ rate, strict }: PktgenPlan, generator: Generator, session: Session): void {
  const got = generator.missedRate();
  if (rate === null || got === undefined) return;
  const text = `--rate: expected ${scaled(rate, 'pps')}, got ${scaled(got, 'pps')}; the device or this CPU takes no more`;
  if (strict) session.fail(new Error(text));
  else process.stderr.write(`warning: ${text}\n`);
}

/**
 * Opens the capture once, for the generating thread. A file that is no capture is better found before a device is
 * opened; of a pipe nothing is read here, since what it has given does not come again.
 */
function openCapture(path: string): CaptureInput {
  const input = new CaptureInput(path);
  // The reader is left open, because closing it would close the file.
  if (input.regular) new PcapReader(path, input);
  return input;
}

async function run(args: ParsedArguments): Promise<number> {
  const plan = pktgenPlan(args);
  const capture = plan.replay === null ? null : openCapture(plan.replay);
  const session = new Session(plan);
  const generator = new Generator(plan, session, capture);
  const devices: IxgbeVf[] = [];
  let model: HostedModel | undefined;
  const closeDevices = async (): Promise<void> => {
    await generator.stop();
    for (const vf of devices) vf.close();
    capture?.close();
  };
  try {
    model = await HostedModel.startFor(plan, session);
    warnOfFewCpus(model === undefined ? 1 : 2);
    const names = plan.rxAddress === null ? [plan.address] : [plan.address, plan.rxAddress];
    for (const name of names) {
      const options = {
        rxRingSize: RX_RING,
        maxFrame: plan.maxFrame,
        stuckAfterMs: STUCK_MS,
        ...recovering(plan.waitForDevice),
      };
      const vf = await open(model?.resolve(name) ?? name, options);
      devices.push(vf);
      followDevice(vf, name, session, plan.waitForDevice);
      vf.on('restarted', () => generator.renewMacs());
    }
    session.catchSignals();
    const [vf, other] = devices;
    if (other === undefined && plan.destination === null && plan.replay === null) {
      process.stderr.write(
        'warning: no --dst MAC: frames go to ff:ff:ff:ff:ff:ff, to everybody on that network\n',
      );
    }
    await waitForLink(devices, session);
    const rows = devices.map((device, i) => ({ vf: device, name: names[i], dropped: () => 0 }));
    const more = (): object => ({ generator: generator.report() });
    const report = new RunReport(session, rows, { json: plan.json, more });
    if (!plan.json) introduce(session, plan, devices);
    await generator.start(vf, other);
    await session.until(
      () => report.tick(model?.rows),
      () => checkDevices(devices),
    );
    await generator.finish();
    const last = report.last();
    await closeDevices();
    await model?.close();
    report.final(last, model?.rows);
    if (!plan.json) session.print(summary(generator));
    judgeRate(plan, generator, session);
    return session.status();
  } finally {
    await closeDevices();
    await model?.close();
  }
}

export const pktgen: Command = {
  name: 'pktgen',
  synopsis: '[DEV] [options]',
  summary: `Sends UDP frames, every one different, and checks what comes back on the same device or on --rx.\nWithout an address it starts a software 82599 with two ports and a cable between them.\n${PLAY_RULE}`,
  maxPositionals: 1,
  options: {
    port0: {
      type: 'string',
      value: 'SPEC',
      help: "what is plugged into the model's port 0 (default cable:0, which joins ports 0 and 1)",
    },
    rx: { type: 'string', value: 'DEV2', help: 'measure what arrives there; its MAC is addressed' },
    size: {
      type: 'string',
      value: 'N|imix',
      help: 'frame size, bytes with CRC (default 64); with --replay the longest played (default 1518)',
    },
    rate: {
      type: 'string',
      value: 'PPS',
      help: 'frames a second, such as 250k or 1.5M (default: all that go)',
    },
    strict: { type: 'boolean', help: 'status 1 where --rate was not reached' },
    flows: { type: 'string', value: 'N', help: 'UDP flows, 1 to 16384 (default 1)' },
    count: { type: 'string', value: 'N', help: 'stop after that many frames' },
    duration: { type: 'string', value: 'SECONDS', help: 'stop after that long' },
    dst: {
      type: 'string',
      value: 'MAC',
      help: "destination (default: the --rx device's MAC, else broadcast)",
    },
    replay: {
      type: 'string',
      value: 'FILE',
      help: 'play a pcap once, with its timing or at --rate; destinations stay unless --dst is given. FILE may be a FIFO; - is standard input',
    },
    pad: {
      type: 'boolean',
      help: 'fill frames that a snaplen cut up with zeros to their length on the wire',
    },
    batch: { type: 'string', value: 'N', default: '32', help: 'frames a batch, 1 to 256' },
    'wait-for-device': WAIT_OPTION,
    interval: INTERVAL_OPTION,
    json: JSON_OPTION,
    help: HELP_OPTION,
  },
  run,
};

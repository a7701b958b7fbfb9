// The forwarder of `ixy l2fwd`: opens the two devices, starts a thread for each queue, prints rates, ends it all.
// The frames move in forward.ts, on threads of their own (worker.ts).

import type { Worker } from 'node:worker_threads';
import { loadQueueCode } from '../../ixgbevf/queue/queues.ts';
import type { IxgbeVf } from '../../ixgbevf/vf.ts';
import { processArena } from '../../memory/arena.ts';
import { mempool, open } from '../../open.ts';
import { macToWords } from '../../support/mac.ts';
import { followDevice, recovering } from '../run/follow-device.ts';
import type { HostedModel } from '../run/hosted-model.ts';
import { HotThreads } from '../run/hot-threads.ts';
import { RunReport, warnOfFewCpus } from '../run/report.ts';
import type { Session } from '../run/session.ts';
import { FORWARD, writeSource } from './forward.ts';
import type { ForwardPlan } from './plan.ts';
import type { DirectionData, ForwardData } from './worker.ts';

const WORKER_FILE = new URL('./worker.js', import.meta.url);
/** Buffers on their way from one ring to another: the largest batch, twice. */
const ON_THE_WAY = 512;

/** State words of what leaves one device through one queue. */
function makeState(peer: Uint8Array | undefined): number {
  const arena = processArena();
  const state = arena.allocateControl(FORWARD.BLOCK_BYTES) >>> 2;
  const heap = arena.views.i32;
  const [low, high] = peer === undefined ? [0xffffffff, 0xffff] : macToWords(peer);
  heap[state + FORWARD.PEER_LOW] = low;
  heap[state + FORWARD.PEER_HIGH] = high;
  heap[state + FORWARD.PEER_FIXED] = peer === undefined ? 0 : 1;
  return state;
}

/** The running forwarder: threads, and per device the state blocks of its queues. */
class Forwarder {
  readonly states: readonly [number[], number[]] = [[], []];
  private readonly threads = new HotThreads();
  private readonly prepared: Worker[] = [];
  private readonly started: Promise<void>[] = [];
  private running = false;
  private readonly linkDown: [number, number] = [0, 0];

  /** Makes the threads, which load their code while the devices are opened. */
  prepare(queues: number, onError: (error: Error) => void): void {
    for (let q = 0; q < queues; q++) {
      const run = (done: () => void): void => {
        const thread = this.threads.start(
          WORKER_FILE,
          {},
          {
            onMessage: done,
            onError: (error) => {
              onError(error);
              done();
            },
          },
        );
        this.prepared.push(thread);
      };
      this.started.push(new Promise(run));
    }
  }

  /** Resolves once every prepared thread forwards, or one failed. */
  async start(devices: readonly [IxgbeVf, IxgbeVf], plan: ForwardPlan): Promise<void> {
    for (let q = 0; q < plan.queues; q++) {
      const states = [makeState(plan.peers[0]), makeState(plan.peers[1])] as const;
      this.states[0].push(states[0]);
      this.states[1].push(states[1]);
      this.spreadLinks();
      this.source(0, devices[0].macBytes);
      this.source(1, devices[1].macBytes);
      const direction = (from: 0 | 1, to: 0 | 1): DirectionData => ({
        rx: devices[from].rx[q].handle,
        tx: devices[to].tx[q].handle,
        outState: states[to],
        inState: states[from],
      });
      const data: ForwardData = {
        mempool: devices[0].mempools[q].handle,
        directions: [direction(0, 1), direction(1, 0)],
        batch: plan.batch,
        dropAtOnce: plan.dropAtOnce,
        stopWord: this.threads.stopWord,
      };
      this.prepared[q].postMessage(data);
    }
    this.running = true;
    await Promise.all(this.started);
  }

  dropped(device: 0 | 1): number {
    const f64 = processArena().views.f64;
    return this.states[device].reduce((sum, state) => sum + f64[(state >> 1) + FORWARD.DROPPED], 0);
  }

  /** Says how the link of a device is: what cannot leave by one that is down is dropped at once. */
  link(device: 0 | 1, up: boolean): void {
    this.linkDown[device] = up ? 0 : 1;
    this.spreadLinks();
  }

  /** Says which MAC a device has, which is the only one that it may send from. */
  source(device: 0 | 1, mac: Uint8Array): void {
    const heap = processArena().views.i32;
    for (const state of this.states[device]) writeSource(heap, state, mac);
  }

  private spreadLinks(): void {
    const heap = processArena().views.i32;
    for (const [device, states] of this.states.entries()) {
      for (const state of states) heap[state + FORWARD.LINK_DOWN] = this.linkDown[device];
    }
  }

  /** Ends the threads; bounded. Those that were never started look at no stop word. */
  stop(): Promise<void> {
    return this.running ? this.threads.stop() : this.threads.stop(0);
  }
}

/**
 * Forwards until the session ends.
 * @param starting the command's own model, on its way; undefined where there is none
 */
export async function runForwarder(
  plan: ForwardPlan,
  session: Session,
  starting: Promise<HostedModel | undefined>,
): Promise<void> {
  const forwarder = new Forwarder();
  const devices: IxgbeVf[] = [];
  let model: HostedModel | undefined;
  const closeDevices = async (): Promise<void> => {
    await forwarder.stop();
    for (const vf of devices) vf.close();
  };
  try {
    const count = 2 * (plan.rxRing + plan.txRing) + ON_THE_WAY;
    const shared = Array.from({ length: plan.queues }, () => mempool({ count }));
    forwarder.prepare(plan.queues, (error) => session.fail(error));
    loadQueueCode(plan.addresses.length * plan.queues);
    model = await starting;
    for (const address of plan.addresses) {
      const options = {
        mempool: shared,
        rxQueues: plan.queues,
        txQueues: plan.queues,
        rxRingSize: plan.rxRing,
        txRingSize: plan.txRing,
        ...recovering(plan.waitForDevice),
      };
      devices.push(await open(model?.resolve(address) ?? address, options));
    }
    for (const [i, vf] of devices.entries()) {
      followDevice(vf, plan.addresses[i], session, plan.waitForDevice);
    }
    session.catchSignals();
    warnOfFewCpus(plan.queues + (model === undefined ? 0 : 1));
    const [a, b] = devices as [IxgbeVf, IxgbeVf];
    a.on('link', ({ up }) => forwarder.link(0, up));
    b.on('link', ({ up }) => forwarder.link(1, up));
    a.on('restarted', () => forwarder.source(0, a.macBytes));
    b.on('restarted', () => forwarder.source(1, b.macBytes));
    const report = new RunReport(
      session,
      [
        { vf: a, name: plan.addresses[0], dropped: () => forwarder.dropped(0) },
        { vf: b, name: plan.addresses[1], dropped: () => forwarder.dropped(1) },
      ],
      { json: plan.json, more: () => model?.load ?? {} },
    );
    // A thread takes its time to start, on a slow machine seconds: they are none of the duration's.
    await forwarder.start([a, b], plan);
    session.begin();
    if (!plan.json) {
      const names = devices.map((vf, i) => `${plan.addresses[i]} (${vf.mac})`);
      session.print(names.join(' <-> '));
    }
    await session.until(() => report.tick(model?.rows));
    await forwarder.stop();
    const last = report.last();
    await closeDevices();
    await model?.close();
    report.final(last, model?.rows, model?.load.latency);
  } finally {
    await closeDevices();
    const started = await starting.catch(() => undefined);
    await started?.close();
  }
}

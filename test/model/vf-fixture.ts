// One port of the model without its datapath: VFs with a stub engine, a PF, a
// clock moved by hand, and a scripted VF that plays the VF's side of the mailbox
// with register numbers written out as literals.

import type { ArenaViews } from '../../src/memory/layout.ts';
import { Pf } from '../../src/model/pf/pf.ts';
import type { MailboxTrace, PfOptions } from '../../src/model/pf/types.ts';
import { Recorder } from '../../src/model/recorder.ts';
import { parseSilicon } from '../../src/model/silicon.ts';
import { SwitchTables } from '../../src/model/tables.ts';
import type { EngineHost, PfPersonality, QueueEngine } from '../../src/model/types.ts';
import { VfDevice } from '../../src/model/vf/device.ts';
import { silentLog } from '../../src/support/log.ts';

/** Heap offset of BAR0 of VF 0; 0 is left out so that a forgotten base shows. */
export const BAR_OFFSET = 0x10000;

/** Notes what it was asked; clears the ENABLE bits as the contract says. */
export class StubEngine implements QueueEngine {
  readonly calls: string[] = [];
  barriers = 0;
  readonly host: EngineHost;
  mapResult = 0;
  unmapResult = 4096;
  private readonly views: ArenaViews;

  constructor(host: EngineHost, views: ArenaViews) {
    this.host = host;
    this.views = views;
  }
  barrier(): void {
    this.barriers++;
  }
  queuesReset(): void {
    this.calls.push('queuesReset');
    const { u32 } = this.views;
    for (let queue = 0; queue < 8; queue++) {
      for (const offset of [0x1028, 0x2028]) {
        const word = (this.host.barOffset + offset + 0x40 * queue) >>> 2;
        u32[word] = u32[word] & ~0x02000000;
      }
    }
  }
  dmaMap(iova: number, sizeBytes: number, heapOffset: number): number {
    this.calls.push(`dmaMap ${iova} ${sizeBytes} ${heapOffset}`);
    return this.mapResult;
  }
  dmaUnmap(iova: number, sizeBytes: number): number {
    this.calls.push(`dmaUnmap ${iova} ${sizeBytes}`);
    return this.unmapResult;
  }
  dmaClear(): void {
    this.calls.push('dmaClear');
  }
}

/** Everything of one port. */
export interface Port {
  readonly time: { us: number };
  readonly tables: SwitchTables;
  readonly recorder: Recorder;
  readonly devices: readonly VfDevice[];
  readonly engines: readonly StubEngine[];
  readonly pf: Pf;
  readonly link: { up: boolean };
  readonly trace: MailboxTrace[];
  readonly views: ArenaViews;
}

/** Builds a port; `options` are the PF's. */
export function makePort(
  options: Partial<PfOptions> & {
    personality?: PfPersonality;
    vfs?: number;
    queues?: number;
    trapAll?: boolean;
    msix?: boolean;
    port?: number;
    /** As `ixy model --silicon` takes it. */
    silicon?: string;
  } = {},
): Port {
  const {
    personality = 'linux-6.1',
    vfs = 2,
    queues = 4,
    trapAll = false,
    msix = true,
    silicon,
    ...rest
  } = options;
  const port = options.port ?? 0;
  const buffer = new SharedArrayBuffer(BAR_OFFSET + vfs * 0x4000);
  const views: ArenaViews = {
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    u16: new Uint16Array(buffer),
    u8: new Uint8Array(buffer),
    f64: new Float64Array(buffer),
    u64: new BigUint64Array(buffer),
  };
  const time = { us: 1000 };
  const clock = {
    nowUs: () => time.us,
    sleepUs: (us: number) => {
      time.us += us;
    },
  };
  const tables = new SwitchTables(vfs, queues);
  const recorder = new Recorder(silentLog);
  const link = { up: true };
  const engines: StubEngine[] = [];
  const devices = Array.from(
    { length: vfs },
    (_, vf) =>
      new VfDevice({
        port,
        vf,
        barOffset: BAR_OFFSET + vf * 0x4000,
        views: () => views,
        tables,
        engine: (host) => {
          const engine = new StubEngine(host, views);
          engines.push(engine);
          return engine;
        },
        recorder,
        clock,
        linkUp: () => link.up,
        trapAll,
        msix,
        ...(silicon === undefined ? {} : { silicon: parseSilicon(silicon) }),
      }),
  );
  const trace: MailboxTrace[] = [];
  const pf = new Pf(personality, {
    functions: devices,
    tables,
    trace: (message) => trace.push(message),
    linkUp: () => link.up,
    ...rest,
    port,
  });
  return { time, tables, recorder, devices, engines, pf, link, trace, views };
}

/** The VF's half of the legacy mailbox protocol (docs/82599-vf.md sec 4.2), as drivers play it. */
export class ScriptedVf {
  readonly device: VfDevice;
  readonly pf: Pf;

  constructor(port: Port, vf = 0) {
    this.device = port.devices[vf];
    this.pf = port.pf;
  }

  /** VFCTRL.RST, then the RSTD that follows is read away. */
  reset(): void {
    this.device.mmioWrite(0x0000, 0x04000000);
    this.pf.step();
    this.device.mmioRead(0x02fc);
  }

  /** Lock, words, REQ; does not let the PF move. */
  send(words: readonly number[]): void {
    this.device.mmioWrite(0x02fc, 0x4);
    for (const [i, word] of words.entries()) this.device.mmioWrite(0x0200 + 4 * i, word);
    this.device.mmioWrite(0x02fc, 0x1);
  }

  /** Lock, n words, ACK. */
  receive(n = 16): number[] {
    this.device.mmioWrite(0x02fc, 0x4);
    const words = Array.from({ length: n }, (_, i) => this.device.mmioRead(0x0200 + 4 * i));
    this.device.mmioWrite(0x02fc, 0x2);
    this.pf.step();
    return words;
  }

  /** One exchange. @returns the first n words of the buffer after the reply */
  request(words: readonly number[], n = 16): number[] {
    this.send(words);
    this.pf.step();
    const control = this.device.mmioRead(0x02fc);
    if ((control & 0x30) !== 0x30) {
      throw new Error(`no reply: VFMAILBOX is 0x${control.toString(16)}`);
    }
    return this.receive(n);
  }

  /** Reset, RESET, and API_NEGOTIATE of the given wire code. */
  start(apiCode = 4): void {
    this.reset();
    this.request([1]);
    this.request([8, apiCode]);
  }
}

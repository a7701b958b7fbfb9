// The control socket: every word of it against a VF that our driver holds over vfio-user, and clients that mean harm.
// Clients, server, NIC and driver are on one thread, and time is moved by hand.

import { existsSync, statSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import type { VfOptions } from '../../../src/ixgbevf/options.ts';
import { type IxgbeVf, openVf } from '../../../src/ixgbevf/vf.ts';
import { processArena } from '../../../src/memory/arena.ts';
import { packetViews } from '../../../src/memory/packet-views.ts';
import type { PortState } from '../../../src/model/host/state.ts';
import type { NicPortOptions } from '../../../src/model/nic-port.ts';
import { native } from '../../../src/support/native.ts';
import { VfioUserDevice } from '../../../src/vfio/user/client.ts';
import { frame, STRANGER } from '../../support/frames.ts';
import { SteppingClock } from '../../support/stepping-clock.ts';
import { TestWire } from '../../support/test-wire.ts';
import { AdminClient } from './admin-client.ts';
import { type Fixture, makeFixture, openFds, SteppedExchange } from './fixture.ts';

const VF0 = '02:09:c0:00:00:00';
const REMOVAL = 1;
const ERROR = 2;

/** A model with one port, its administrator, and what is at the port. */
class Site {
  readonly clock: SteppingClock;
  readonly model: Fixture;
  readonly admin: AdminClient;
  readonly wire: TestWire;
  private readonly closers: (() => void)[] = [];

  constructor(port: NicPortOptions = { vfs: 2 }) {
    const step = (): void => void this.model?.nic.step(64);
    this.clock = new SteppingClock(step);
    this.model = makeFixture({ ports: [port], clock: this.clock.model });
    this.wire = new TestWire(processArena(), this.model.nic.ingress(0));
    this.model.nic.setWirePort(0, this.wire);
    this.admin = new AdminClient(this.model);
  }

  device(vf = 0): VfioUserDevice {
    const path = this.model.path(0, vf);
    const exchange = new SteppedExchange(this.model, path);
    const device = VfioUserDevice.over(exchange, `vfio-user:${path}`, processArena());
    this.closers.push(() => device.close());
    return device;
  }

  async open(options: VfOptions = {}, device = this.device()): Promise<IxgbeVf> {
    const small = { rxRingSize: 64, txRingSize: 64, clock: this.clock };
    const vf = await openVf(device, processArena(), { ...small, ...options });
    this.closers.push(() => vf.close());
    return vf;
  }

  /** Lets the model move until nothing moves any more. */
  advance(): void {
    for (let i = 0; i < 100; i++) if (this.model.nic.step(64) === 0) return;
  }

  /** Sends frames of a VF. @returns what the wire got */
  send(vf: IxgbeVf, ...frames: readonly Uint8Array[]): Uint8Array[] {
    const views = packetViews(vf.mempool);
    const bufs = new Int32Array(frames.length);
    const n = vf.mempool.takeBatch(bufs, 0, frames.length);
    for (let i = 0; i < n; i++) views.fill(bufs[i], frames[i]);
    const taken = vf.tx[0].batch(bufs, 0, n);
    vf.mempool.giveBatch(bufs, taken, n - taken);
    this.advance();
    return this.wire.take();
  }

  show(): PortState {
    return (this.admin.ask('show') as { ports: PortState[] }).ports[0];
  }

  dispose(): void {
    for (const close of this.closers.splice(0).reverse()) close();
    this.admin.close();
    this.model.dispose();
  }
}

let site: Site;
const outgoing = frame({ dst: STRANGER, src: VF0, length: 64 });

afterEach(() => site.dispose());

/** True once the VF sees that it has to register again; then it does. */
function restarted(vf: IxgbeVf): boolean {
  const { resetNeeded } = vf.checkHealth();
  if (resetNeeded) vf.restart();
  return resetNeeded;
}

describe('a port', () => {
  test.each(['0 reset', '0 tc 2', '0 mtu 4000'])(
    '%s: the VF has to register, and works again',
    async (words) => {
      site = new Site();
      const vf = await site.open();
      site.admin.say(words);
      expect(restarted(vf)).toBe(true);
      expect(site.send(vf, outgoing)).toHaveLength(1);
      expect(site.show().vfs[0].registered).toBe(true);
    },
  );

  test('down takes the link of its VFs until up', async () => {
    site = new Site();
    const vf = await site.open();
    site.admin.say('0 down');
    expect(vf.link().up).toBe(false);
    expect(site.show()).toMatchObject({ up: false, link: false });
    site.admin.say('0 up');
    expect(restarted(vf)).toBe(true);
    expect(vf.link().up).toBe(true);
    expect(site.send(vf, outgoing)).toHaveLength(1);
  });

  test('mtu decides whether a VF gets jumbo frames', async () => {
    site = new Site();
    await expect(site.open({ maxFrame: 9018 })).rejects.toThrow(/SET_LPE/);
    site.admin.say('0 mtu 9000');
    const vf = await site.open({ maxFrame: 9018 }, site.device(1));
    expect(vf.maxFrame).toBe(9018);
    expect(site.show().mtu).toBe(9000);
  });

  test('cable out takes the link, and no more', async () => {
    site = new Site();
    const vf = await site.open();
    site.admin.say('0 cable out');
    expect(vf.link().up).toBe(false);
    expect(site.show()).toMatchObject({ up: true, link: false, cable: 'out' });
    expect(site.send(vf, outgoing)).toEqual([]);
    site.admin.say('0 cable in');
    site.advance();
    expect(site.wire.take()).toHaveLength(1);
    expect(vf.checkHealth()).toMatchObject({ resetNeeded: false, link: { up: true } });
  });

  test('tc gives a VF a queue a class, and its frames a tag', async () => {
    site = new Site();
    const vf = await site.open();
    site.admin.say('0 tc 8');
    expect(restarted(vf)).toBe(true);
    const [sent] = site.send(vf, outgoing);
    expect([...sent.subarray(12, 16)]).toEqual([0x81, 0, 0, 0]);
    expect(site.show()).toMatchObject({ tc: 8, defaultClass: 0 });
  });
});

describe('a VF', () => {
  test('mac is what it has after its next reset', async () => {
    site = new Site();
    const vf = await site.open();
    site.admin.say('0 vf 0 mac 02:aa:00:00:00:01');
    expect(vf.mac).toBe(VF0);
    vf.restart();
    expect(vf.mac).toBe('02:aa:00:00:00:01');
    expect(site.show().vfs[0].mac).toBe('02:aa:00:00:00:01');
    site.admin.say('0 vf 0 mac none');
    vf.restart();
    expect(vf.macAssigned).toBe(false);
  });

  test('vlan and qos are in the frames that leave the port', async () => {
    site = new Site();
    const vf = await site.open();
    site.admin.say('0 vf 0 vlan 7 qos 3');
    const [sent] = site.send(vf, outgoing);
    expect([...sent.subarray(12, 16)]).toEqual([0x81, 0, 0x60, 7]);
    site.admin.say('0 vf 0 vlan 0');
    expect(site.send(vf, outgoing)).toEqual([outgoing]);
  });

  test('trust makes it register again, and lets it take another MAC', async () => {
    site = new Site();
    const vf = await site.open();
    expect(() => vf.setMac('02:bb:00:00:00:01')).toThrow(/SET_MAC_ADDR/);
    site.admin.say('0 vf 0 trust on');
    expect(restarted(vf)).toBe(true);
    vf.setMac('02:bb:00:00:00:01');
    site.admin.say('0 vf 0 trust on');
    expect(vf.checkHealth().resetNeeded).toBe(false);
  });

  test('spoofchk decides over strange source addresses', async () => {
    site = new Site();
    const vf = await site.open();
    const strange = frame({ dst: STRANGER, src: '02:cc:00:00:00:01' });
    expect(site.send(vf, strange)).toEqual([]);
    site.admin.say('0 vf 0 spoofchk off');
    expect(site.send(vf, strange)).toHaveLength(1);
    expect(site.show().vfs[0]).toMatchObject({ spoofchk: false, counters: { spoofed: 1 } });
  });

  test('state disable takes its link, auto and enable give it back', async () => {
    site = new Site();
    const vf = await site.open();
    for (const state of ['auto', 'enable']) {
      site.admin.say('0 vf 0 state disable');
      expect(restarted(vf)).toBe(true);
      expect(vf.link()).toMatchObject({ up: false, enabled: false });
      site.admin.say(`0 vf 0 state ${state}`);
      expect(restarted(vf)).toBe(true);
      expect(vf.link()).toMatchObject({ up: true, enabled: true });
    }
  });

  test('rate lets as many octets pass as the clock of the model says', async () => {
    site = new Site();
    const vf = await site.open({ txRingSize: 1024 });
    site.admin.say('0 vf 0 rate 100');
    site.clock.pass(1e6);
    // 1,226 bytes and 24 around them are 100 us at 100 Mbit/s. A pause earns 5 ms.
    const frames = Array.from({ length: 60 }, () =>
      frame({ dst: STRANGER, src: VF0, length: 1226 }),
    );
    expect(site.send(vf, ...frames)).toHaveLength(50);
    site.clock.pass(450);
    site.advance();
    expect(site.wire.take()).toHaveLength(5);
    site.admin.say('0 vf 0 rate 0');
    site.advance();
    expect(site.wire.take()).toHaveLength(5);
  });

  test('query_rss decides whether it may read the RSS key', async () => {
    site = new Site();
    const device = site.device();
    await site.open({}, device);
    // GET_RSS_KEY by hand: lock, word 0, REQ, and the reply's word 0.
    const getRssKey = (): number => {
      device.write32(0x2fc, 4);
      device.write32(0x200, 0xb);
      device.write32(0x2fc, 1);
      site.advance();
      device.write32(0x2fc, 4);
      const reply = device.read32(0x200);
      device.write32(0x2fc, 2);
      return reply >>> 0;
    };
    expect(getRssKey()).toBe(0x6000000b);
    site.admin.say('0 vf 0 query_rss on');
    expect(getRssKey()).toBe(0xa000000b);
  });

  test('error is told to its holder', async () => {
    site = new Site();
    const device = site.device();
    site.admin.say('0 vf 1 error');
    expect(device.takeEvents()).toBe(0);
    site.admin.say('0 vf 0 error');
    expect(device.takeEvents()).toBe(ERROR);
  });
});

describe('unplug and plug', () => {
  test('a holder that gives the VF back is rid of it at once, and finds it again', async () => {
    site = new Site();
    const path = site.model.path(0, 0);
    const device = site.device();
    const vf = await site.open({}, device);
    site.admin.say('0 vf 0 unplug');
    expect(site.show().vfs[0]).toMatchObject({ attached: true, presence: 'leaving' });
    expect(device.takeEvents()).toBe(REMOVAL);
    expect(() => device.reset()).toThrow(/EAGAIN/);
    expect(site.admin.ask('0 vf 0 unplug')).toMatchObject({
      error: expect.stringMatching(/plugged in, got .* leaving/),
    });
    expect(site.admin.ask('0 vf 0 plug')).toMatchObject({
      error: expect.stringMatching(/unplugged, got .* leaving/),
    });
    vf.close();
    expect(site.show().vfs[0]).toMatchObject({ attached: false, presence: 'unplugged' });
    expect(existsSync(path)).toBe(false);
    // The others stay.
    site.device(1).close();

    site.admin.say('0 vf 0 plug');
    expect(site.admin.ask('0 vf 0 plug')).toMatchObject({
      error: expect.stringMatching(/got one that is plugged/),
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const again = await site.open();
    expect(site.send(again, outgoing)).toHaveLength(1);
    expect(site.model.nic.recorder.violations).toEqual([]);
  });

  test('a VF that nobody holds goes at once', () => {
    site = new Site();
    site.admin.say('0 vf 1 unplug');
    expect(existsSync(site.model.path(0, 1))).toBe(false);
    site.admin.say('0 vf 1 plug');
    expect(existsSync(site.model.path(0, 1))).toBe(true);
  });

  test('a holder that keeps it is cut off after a second, and its pages read all ones for ever', async () => {
    site = new Site();
    const device = site.device();
    const vf = await site.open({}, device);
    const { u32 } = processArena().views;
    const tail = (device.pageOffset(2) + 0x18) >>> 2;
    site.admin.say('0 vf 0 unplug');
    site.clock.pass(999_000);
    expect(site.show().vfs[0].presence).toBe('leaving');
    expect(site.send(vf, outgoing)).toHaveLength(1);
    site.clock.pass(2000);
    expect(site.show().vfs[0]).toMatchObject({ attached: false, presence: 'unplugged' });
    expect(u32[tail]).toBe(0xffffffff);
    site.admin.say('0 vf 0 plug');
    const again = await site.open({}, site.device());
    expect(site.send(again, outgoing)).toHaveLength(1);
    expect(u32[tail]).toBe(0xffffffff);
    // What the former holder writes there reaches nobody.
    expect(site.send(vf, outgoing)).toEqual([]);
    expect(site.send(again, outgoing)).toHaveLength(1);
    expect(site.model.nic.recorder.violations).toEqual([]);
    vf.close();
  });

  test('the port goes on while a VF is away, and counts what was for it', async () => {
    site = new Site();
    site.admin.say('0 vf 1 unplug');
    site.admin.say('0 reset');
    const vf = await site.open();
    site.wire.inject(frame({ dst: '02:09:c0:00:00:01' }));
    expect(site.send(vf, outgoing)).toHaveLength(1);
    expect(site.show().vfs[1].counters).toMatchObject({ delivered: 0 });
    site.admin.say('0 vf 1 plug');
    const other = await site.open({}, site.device(1));
    expect(other.mac).toBe('02:09:c0:00:00:01');
    const { delivered, missedDisabled, filtered } = site.show().vfs[1].counters;
    expect(delivered + missedDisabled + filtered).toBe(1);
  });
});

describe('what is no request', () => {
  test.each([
    ['', 'expected a line such as'],
    ['hello', 'expected a line such as'],
    ['[]', 'expected a line such as'],
    ['null', 'expected a line such as'],
    ['{"words":"show"}', 'expected a line such as'],
    ['{"words":[1]}', 'expected a line such as'],
    ['{"words":[]}', 'expected a port number'],
    ['{"words":["show","me"]}', 'expected a port number'],
    ['{"words":["0"]}', 'expected reset, down, up, mtu, cable, tc after'],
    ['{"words":["0","__proto__"]}', 'expected reset, down'],
    ['{"words":["0","reset","now"]}', '"0 reset"'],
    ['{"words":["1","reset"]}', 'expected a port from 0 to 0, got 1'],
    ['{"words":["0","vf","2","trust","on"]}', 'expected a VF from 0 to 1, got 2'],
    ['{"words":["0","vf","2","unplug"]}', 'expected a VF from 0 to 1, got 2'],
    ['{"words":["0","vf","x","trust","on"]}', 'a VF number after'],
    ['{"words":["0","vf","0","trust","maybe"]}', 'trust on|off'],
    ['{"words":["0","vf","0","vlan","5000"]}', 'expected 0 to 4094, got 5000'],
    ['{"words":["0","vf","0","vlan","5","qos"]}', 'vlan ID [qos P]'],
    ['{"words":["0","vf","0","mac","02:00"]}', 'expected a MAC address'],
    ['{"words":["0","vf","0","mac","01:00:00:00:00:01"]}', 'a unicast address'],
    ['{"words":["0","vf","0","rate","5"]}', 'expected 11 to 10000, got 5'],
  ])('%s gets an error, and the next request is heard', (text, why) => {
    site = new Site();
    site.admin.write(`${text}\n`);
    expect((JSON.parse(site.admin.line()) as { error: string }).error).toContain(why);
    expect(site.show().port).toBe(0);
  });

  test('a line that comes in pieces is one request, and several in one piece are several', () => {
    site = new Site();
    site.admin.write('{"words":');
    for (let i = 0; i < 5; i++) site.model.serve();
    site.admin.write('["0","down"]}\n{"words":["0","up"]}\n{"wor');
    expect([site.admin.line(), site.admin.line()]).toEqual(['{"ok":true}', '{"ok":true}']);
    expect(site.model.nic.pf(0).up).toBe(true);
    site.admin.write('ds":["0","down"]}\n');
    expect(site.admin.line()).toBe('{"ok":true}');
  });

  test('a megabyte without a line end is cut off', () => {
    site = new Site();
    const bad = new AdminClient(site.model);
    const piece = new Uint8Array(65_536).fill(65);
    for (let i = 0; i < 16; i++) {
      bad.write(piece);
      site.model.serve();
    }
    expect(bad.line()).toContain('at most 4096 bytes a line');
    expect(bad.line()).toBe('hung up');
    bad.close();
    expect(site.show().port).toBe(0);
  });

  test('bytes that are no text harm nobody', () => {
    site = new Site();
    let seed = 1;
    for (let i = 0; i < 200; i++) {
      const bad = new AdminClient(site.model);
      const bytes = Uint8Array.from({ length: 300 }, () => {
        seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
        return seed >>> 16;
      });
      bad.write(bytes);
      site.model.serve();
      bad.close();
    }
    site.model.serve();
    expect(site.model.nic.pf(0).up).toBe(true);
    const fresh = new AdminClient(site.model);
    expect(fresh.ask('show')).toMatchObject({ ok: true });
    fresh.close();
  });
});

describe('clients that mean harm', () => {
  test('200 connections leave room for one that asks, and no fd behind', () => {
    site = new Site();
    site.model.serve();
    const before = openFds();
    const crowd: number[] = [];
    for (let i = 0; i < 200; i++) {
      crowd.push(native().unixConnect(`${site.model.directory}/control.sock`));
      site.model.serve();
    }
    expect(openFds() - before).toBeLessThanOrEqual(200 + 16);
    const late = new AdminClient(site.model);
    expect(late.ask('0 vf 0 trust on')).toEqual({ ok: true });
    late.close();
    for (const fd of crowd) native().close(fd);
    for (let i = 0; i < 20; i++) site.model.serve();
    // The administrator that came first had to make room.
    expect(openFds()).toBe(before - 1);
  });

  test('a client that never reads is no longer read from, and all others are served', () => {
    site = new Site({ vfs: 63 });
    const deaf = new AdminClient(site.model);
    let refused = 0;
    for (let i = 0; i < 5000 && refused < 100; i++) {
      if (deaf.write('{"words":["show"]}\n') < 0) refused++;
      site.model.serve();
    }
    expect(refused).toBe(100);
    site.admin.say('0 vf 62 trust on');
    deaf.close();
    site.admin.say('0 vf 62 trust off');
  });

  test('one that dies in the middle of a line or of a reply is forgotten', () => {
    site = new Site({ vfs: 63 });
    site.model.serve();
    const before = openFds();
    const half = new AdminClient(site.model);
    half.write('{"words":["0","do');
    site.model.serve();
    half.close();
    const asks = new AdminClient(site.model);
    asks.write('{"words":["show"]}\n{"words":["show"]}\n');
    asks.close();
    for (let i = 0; i < 10; i++) site.model.serve();
    expect(openFds()).toBe(before);
    expect(site.model.nic.pf(0).up).toBe(true);
  });

  test('the socket is its owner’s alone, and goes with the model', () => {
    site = new Site();
    const path = `${site.model.directory}/control.sock`;
    expect(statSync(path).mode & 0o777).toBe(0o600);
    site.model.close();
    expect(existsSync(path)).toBe(false);
  });
});

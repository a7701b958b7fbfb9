import { describe, expect, it } from 'vitest';
import type { Pf } from '../../../src/model/pf/pf.ts';
import type { MacNumber } from '../../../src/model/tables.ts';
import { makePort, ScriptedVf } from '../vf-fixture.ts';

const NACK = 0x60000000;
const ACK = 0xa0000000;

/** Word 0 of the reply to a request. */
function word0(vf: ScriptedVf, ...words: number[]): number {
  return vf.request(words, 1)[0];
}

/** Message words 1 and 2 of a MAC. */
function macWords(mac: MacNumber): [number, number] {
  const byte = (i: number) => Math.floor(mac / 256 ** (5 - i)) % 256;
  const low = byte(0) + byte(1) * 256 + byte(2) * 65536 + byte(3) * 16777216;
  return [low, byte(4) + byte(5) * 256];
}

describe('PF refusals', () => {
  it('refuses a pfMtu, an administrator MAC, a VID and a VF that cannot be', () => {
    expect(() => makePort({ pfMtu: 67 })).toThrow(/pfMtu: expected 68 to 9710, got 67/);
    expect(() => makePort({ pfMtu: 9711 })).toThrow(RangeError);
    expect(() => makePort({ macs: [new Uint8Array([1, 0, 0, 0, 0, 1])] })).toThrow(/unicast/);
    const { pf } = makePort();
    expect(() => pf.setAdminMac(0, new Uint8Array(5))).toThrow(RangeError);
    expect(() => pf.setPortVlan(0, 4095)).toThrow(RangeError);
    expect(() => pf.setPortVlan(0, 1, 8)).toThrow(/priority: expected 0 to 7, got 8/);
    expect(() => makePort({ portVlans: [4095] })).toThrow(RangeError);
    expect(() => pf.setMtu(67)).toThrow(/pfMtu: expected 68 to 9710, got 67/);
    expect(() => pf.setRate(0, 10)).toThrow(/expected 11 to 10000, got 10/);
    expect(() => pf.setRate(0, 10_001)).toThrow(RangeError);
    expect(() => pf.setTrafficClasses(9)).toThrow(/classes with 2 VFs: expected 0 to 8, got 9/);
    expect(() => pf.setTrafficClasses(2, 2)).toThrow(/default priority: expected 0 to 1, got 2/);
    const x550 = makePort({ macType: 'x550' }).pf;
    expect(() => x550.setTrafficClasses(5)).toThrow(/expected 0 to 4, got 5/);
    expect(() => x550.setQueryRss(0, true)).toThrow(/query_rss: expected an 82599/);
    expect(() => makePort({ vfs: 16, trafficClasses: 5 })).toThrow(/16 VFs: expected 0 to 4/);
    expect(() => makePort({ vfs: 32, trafficClasses: 2 })).toThrow(/32 VFs: expected 0 to 1/);
    expect(pf.up).toBe(true);
    expect(() => pf.ping(2)).toThrow(/a VF from 0 to 1, got 2/);
  });

  it('a Linux PF answers a request before RESET with NACK, one word and no CTS', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.reset();
    vf.send([8, 4]);
    port.pf.step();
    expect(port.trace.at(-1)).toEqual({ vf: 0, kind: 'reply', words: [0x40000008] });
    vf.receive();
    // And the VF's ACK of that, while not registered, is answered with the bare NACK word.
    expect(port.trace.at(-1)).toEqual({ vf: 0, kind: 'reply', words: [0x40000000] });
  });

  it('ignores a message that already carries ACK or NACK, after acknowledging it', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.start();
    vf.send([0x80000001]);
    const before = port.trace.length;
    port.pf.step();
    expect(port.trace.slice(before).map((message) => message.kind)).toEqual(['request']);
    expect(vf.device.mmioRead(0x2fc) & 0x30).toBe(0x20);
  });

  it.each([
    ['zero', 0],
    ['multicast', 0x01005e000001],
    ['broadcast', 0xffffffffffff],
  ])('refuses a %s MAC in SET_MAC_ADDR and SET_MACVLAN', (_, mac) => {
    const vf = new ScriptedVf(makePort({ macs: [null] }));
    vf.start();
    expect(word0(vf, 2, ...macWords(mac))).toBe(NACK + 2);
    expect(word0(vf, 0x10006, ...macWords(mac))).toBe(NACK + 0x10006);
  });

  it('refuses SET_LPE outside 68 to 9728 without touching VFRE', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.start();
    for (const size of [0, 67, 9729, 0xffffffff]) expect(word0(vf, 5, size)).toBe(NACK + 5);
    expect(port.tables.pools[0]?.rxEnable).toBe(true);
  });

  it('refuses SET_VLAN while a port VLAN is set, also VID 0', () => {
    const vf = new ScriptedVf(makePort({ portVlans: [7] }));
    vf.start();
    expect(word0(vf, 0x10004, 5)).toBe(NACK + 0x10004);
    expect(word0(vf, 0x00004, 0)).toBe(NACK + 4);
  });

  it('refuses the 64th VLAN beside VID 0, and takes one that another VF already has', () => {
    const port = makePort();
    const first = new ScriptedVf(port, 0);
    const second = new ScriptedVf(port, 1);
    first.start();
    second.start();
    for (let vid = 1; vid <= 63; vid++) expect(word0(first, 0x10004, vid)).toBe(ACK + 0x10004);
    expect(word0(second, 0x10004, 64)).toBe(NACK + 0x10004);
    expect(word0(second, 0x10004, 63)).toBe(ACK + 0x10004);
    expect(word0(first, 0x00004, 1)).toBe(ACK + 4);
    expect(word0(second, 0x10004, 64)).toBe(ACK + 0x10004);
  });

  it('refuses a MAC filter beyond 128 - (15 + 1 + VFs), whoever holds the others', () => {
    const port = makePort({ macs: [null, null] });
    const first = new ScriptedVf(port, 0);
    const second = new ScriptedVf(port, 1);
    first.start();
    second.start();
    for (let i = 0; i < 110; i++) {
      expect(word0(first, 0x20006, ...macWords(0x020000000000 + i))).toBe(ACK + 0x20006);
    }
    expect(word0(second, 0x20006, ...macWords(0x020000010000))).toBe(NACK + 0x20006);
    expect(word0(first, 0x00006)).toBe(ACK + 6);
    expect(word0(second, 0x20006, ...macWords(0x020000010000))).toBe(ACK + 0x20006);
  });

  it.each([
    ['GET_QUEUES', 9, 0],
    ['UPDATE_XCAST_MODE', 0xc, 2],
    ['GET_LINK_STATE', 0x10, 2],
    ['GET_RETA', 0xa, 2],
    ['GET_RSS_KEY', 0xb, 2],
    ['FEATURES_NEGOTIATE', 0x12, 7],
  ])('refuses %s below its API version', (_, opcode, code) => {
    const port = makePort({ personality: 'linux-7.3', queryRss: [true] });
    const vf = new ScriptedVf(port);
    vf.start(code);
    expect(word0(vf, opcode, 1)).toBe(NACK + opcode);
  });

  it('refuses API codes outside its table, 2.0 among them, and keeps the version it had', () => {
    const vf = new ScriptedVf(makePort());
    vf.start(5);
    for (const code of [1, 6, 7, 8, 9]) expect(word0(vf, 8, code)).toBe(NACK + 8);
    expect(word0(vf, 0x10, 0)).toBe(ACK + 0x10);
  });

  it('refuses PROMISC on an 82599 even to a trusted VF, and modes that do not exist', () => {
    const vf = new ScriptedVf(makePort({ trusted: [true] }));
    vf.start();
    expect(word0(vf, 0xc, 3)).toBe(NACK + 0xc);
    expect(word0(vf, 0xc, 4)).toBe(NACK + 0xc);
    vf.request([8, 3]);
    expect(word0(vf, 0xc, 3)).toBe(NACK + 0xc);
  });
});

describe('a PF with jumbo frames', () => {
  it.each(['linux-6.1', 'dpdk'] as const)(
    '%s takes any SET_LPE from API 1.1 on and raises the port limit only',
    (personality) => {
      const port = makePort({ pfMtu: 9000, personality });
      const vf = new ScriptedVf(port);
      vf.start(2);
      expect(port.tables.pools[0]).toMatchObject({ rxEnable: false, txEnable: true });
      expect(word0(vf, 5, 1518)).toBe(ACK + 5);
      expect(port.tables.pools[0]?.rxEnable).toBe(true);
      expect(port.tables.maxFrame).toBe(9018);
      expect(word0(vf, 5, 9728)).toBe(ACK + 5);
      expect(word0(vf, 5, 1518)).toBe(ACK + 5);
      expect(port.tables.maxFrame).toBe(9728);
    },
  );

  it('of an X540 has nothing against VFs without', () => {
    const port = makePort({ pfMtu: 9000, macType: 'x540' });
    const vf = new ScriptedVf(port);
    vf.start(0);
    expect(port.tables.pools[0]).toMatchObject({ rxEnable: true, txEnable: true });
    expect(word0(vf, 5, 1518)).toBe(ACK + 5);
    const small = new ScriptedVf(makePort({ macType: 'x540' }));
    small.start();
    expect(word0(small, 5, 9018)).toBe(ACK + 5);
    expect(word0(small, 5, 9729)).toBe(NACK + 5);
  });

  it('refuses a VF of API 1.0 whatever it asks for, and VFRE stays off', () => {
    const port = makePort({ pfMtu: 9000 });
    const vf = new ScriptedVf(port);
    vf.start(0);
    expect(word0(vf, 5, 1518)).toBe(NACK + 5);
    expect(port.tables.pools[0]?.rxEnable).toBe(false);
  });
});

describe('PF and the VF it serves', () => {
  it('gives 02:09:c0:00:PP:VV where no MAC was named', () => {
    const { pf } = makePort({ port: 3 });
    expect([...(pf.adminMac(1) as Uint8Array)]).toEqual([0x02, 0x09, 0xc0, 0x00, 3, 1]);
    expect(makePort({ macs: [null] }).pf.adminMac(0)).toBeNull();
  });

  it('lets a trusted VF change its MAC, add filters and go ALLMULTI', () => {
    const port = makePort({ trusted: [true] });
    const vf = new ScriptedVf(port);
    vf.start();
    expect(word0(vf, 2, ...macWords(0x021122334455))).toBe(ACK + 2);
    expect(port.tables.ownersOf(0x021122334455)).toEqual([0]);
    expect(port.tables.ownersOf(0x0209c0000000)).toEqual([]);
    expect(word0(vf, 0x10006, ...macWords(0x02aa00000001))).toBe(ACK + 0x10006);
    expect(vf.request([0xc, 2], 2)).toEqual([ACK + 0xc, 2]);
    expect(port.tables.pools[0]?.acceptance.mpe).toBe(true);
  });

  it('index 1 of SET_MACVLAN replaces, index 2 adds, and the own MAC survives index 0', () => {
    const port = makePort({ macs: [null] });
    const vf = new ScriptedVf(port);
    vf.start();
    vf.request([2, ...macWords(0x020000000001)]);
    vf.request([0x10006, ...macWords(0x020000000001)]);
    vf.request([0x10006, ...macWords(0x020000000002)]);
    vf.request([0x20006, ...macWords(0x020000000003)]);
    expect(port.tables.macFilters).toBe(3);
    vf.request([0x00006]);
    expect(port.tables.macFilters).toBe(1);
    expect(port.tables.ownsMac(0, 0x020000000001)).toBe(true);
  });

  it('shows RETA and key to a VF that may query RSS', () => {
    const vf = new ScriptedVf(makePort({ queryRss: [true] }));
    vf.start(3);
    const reta = vf.request([0xa], 9);
    // 0,1,2,3 repeating, 2 bits an entry, lowest first: 0xe4 a byte.
    expect(reta).toEqual([ACK + 0xa, ...new Array(8).fill(0xe4e4e4e4)]);
    const key = vf.request([0xb], 11);
    expect(key[1]).toBe(0xda565a6d);
    expect(key[10]).toBe(0xfa01acbe);
  });

  it('a port VLAN shows in GET_QUEUES and takes untagged access away', () => {
    const port = makePort({ portVlans: [9] });
    const vf = new ScriptedVf(port);
    vf.start(2);
    expect(vf.request([9, 0, 0, 0, 0], 5)).toEqual([ACK + 9, 4, 4, 1, 0]);
    expect(port.tables.pools[0]).toMatchObject({ vmvir: 0x40000009, vlanAntiSpoof: true });
    expect(port.tables.pools[0]?.acceptance.aupe).toBe(false);
    expect([port.tables.inVlan(0, 0), port.tables.inVlan(0, 9)]).toEqual([false, true]);
    port.pf.setPortVlan(0, 0);
    expect(port.tables.pools[0]?.acceptance.aupe).toBe(true);
    expect([port.tables.inVlan(0, 0), port.tables.inVlan(0, 9)]).toEqual([true, false]);
  });

  it('a port priority alone shows in GET_QUEUES, and goes into a tag of VID 0', () => {
    const port = makePort({ portPriorities: [5] });
    const vf = new ScriptedVf(port);
    vf.start(2);
    expect(vf.request([9, 0, 0, 0, 0], 5)).toEqual([ACK + 9, 4, 4, 1, 0]);
    expect(port.tables.pools[0]?.vmvir).toBe(0x4000a000);
    // VLANs are the VF's own as long as only the priority is set.
    expect(word0(vf, 0x10004, 5)).toBe(ACK + 0x10004);
    port.pf.setPortVlan(0, 0);
    expect(vf.request([9, 0, 0, 0, 0], 5)).toEqual([ACK + 9, 4, 4, 0, 0]);
    expect(port.tables.pools[0]?.vmvir).toBe(0);
  });

  it('a port priority set on the way takes VID 0 until the next reset of the VF', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.start();
    port.pf.setPortVlan(0, 0, 3);
    expect(port.tables.inVlan(0, 0)).toBe(false);
    expect(port.tables.pools[0]?.acceptance.aupe).toBe(false);
    vf.start();
    expect(port.tables.inVlan(0, 0)).toBe(true);
    expect(port.tables.pools[0]).toMatchObject({ vmvir: 0x40006000, acceptance: { aupe: true } });
  });

  it('traffic classes reset the port, show in GET_QUEUES and give each VF a queue a class', () => {
    const port = makePort({ queues: 4 });
    const vf = new ScriptedVf(port);
    vf.start(2);
    port.pf.setTrafficClasses(8, 3);
    expect(port.pf.clearToSend(0)).toBe(false);
    vf.start(2);
    expect(vf.request([9, 0, 0, 0, 0], 5)).toEqual([ACK + 9, 8, 8, 8, 3]);
    // No VLAN is a VF's own then, and every frame gets a tag, at least one of VID 0.
    expect(word0(vf, 0x10004, 5)).toBe(NACK + 0x10004);
    expect(port.tables.pools[0]?.vmvir).toBe(0x40000000);
    port.pf.setTrafficClasses(3);
    vf.start(2);
    expect(vf.request([9, 0, 0, 0, 0], 5)).toEqual([ACK + 9, 4, 4, 3, 0]);
    port.pf.setTrafficClasses(0);
    vf.start(2);
    expect(vf.request([9, 0, 0, 0, 0], 5)).toEqual([ACK + 9, 4, 4, 0, 0]);
    expect(port.tables.pools[0]?.vmvir).toBe(0);
  });

  it('traffic classes wait for a PF that is down, and may be there from the start', () => {
    const port = makePort({ trafficClasses: 2, defaultClass: 1 });
    port.pf.goDown();
    port.pf.setTrafficClasses(4, 2);
    expect(port.pf.up).toBe(false);
    port.pf.comeUp();
    const vf = new ScriptedVf(port);
    vf.start(2);
    expect(vf.request([9, 0, 0, 0, 0], 5)).toEqual([ACK + 9, 4, 4, 4, 2]);
  });

  it('hands out at most 30 multicast hashes worth of bits', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.start();
    // 15 words of two hashes each, all distinct; a count of 255 is clamped.
    const hashes = Array.from({ length: 15 }, (_, i) => 2 * i + ((2 * i + 1) << 16));
    expect(word0(vf, 0x00ff0003, ...hashes)).toBe(ACK + 0x00ff0003);
    expect(port.tables.multicastTable[0]).toBe(0x3fffffff);
  });

  it('a VF reset forgets VLANs, filters and API, and keeps hashes, XCAST mode and the MAC', () => {
    const port = makePort({ trusted: [true] });
    const vf = new ScriptedVf(port);
    vf.start();
    vf.request([0x10004, 100]);
    vf.request([0x10006, ...macWords(0x020000000009)]);
    vf.request([0x10003, 0x20]);
    vf.request([0xc, 2]);
    vf.reset();
    const { tables } = port;
    expect([tables.inVlan(0, 100), tables.inVlan(0, 0)]).toEqual([false, true]);
    expect(tables.macFilters).toBe(0);
    expect(tables.multicastTable[1]).toBe(1);
    expect(tables.pools[0]?.acceptance).toMatchObject({ rompe: true, mpe: true, aupe: true });
    expect(tables.pools[0]).toMatchObject({ rxEnable: false, txEnable: false });
    vf.request([1]);
    expect(tables.ownsMac(0, 0x0209c0000000)).toBe(true);
    expect(word0(vf, 9)).toBe(NACK + 9);
    // Only a port VLAN re-arms anti-spoofing after an extra filter switched it off.
    expect(tables.pools[0]?.macAntiSpoof).toBe(false);
  });

  it('RESET alone stops tx queues and zeroes the head write-back addresses', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    const word = (offset: number) => (0x10000 + offset) >>> 2;
    port.views.u32[word(0x2028 + 0x40)] = 0x02000020;
    port.views.u32[word(0x2038 + 0x40)] = 0x1001;
    port.views.u32[word(0x203c + 0x40)] = 1;
    vf.request([1]);
    expect(port.views.u32[word(0x2028 + 0x40)]).toBe(0x20);
    expect(port.views.u32[word(0x2038 + 0x40)]).toBe(0);
    expect(port.views.u32[word(0x203c + 0x40)]).toBe(0);
  });
});

describe('what the PF says unasked', () => {
  it('pings with CTS where the VF has it, without where not', () => {
    const port = makePort();
    const vf = new ScriptedVf(port, 0);
    vf.start();
    port.pf.ping();
    expect(port.trace.slice(-2)).toEqual([
      { vf: 0, kind: 'ping', words: [0x20000100] },
      { vf: 1, kind: 'ping', words: [0x00000100] },
    ]);
    expect(vf.device.mmioRead(0x2fc)).toBe(0x10);
    expect(vf.receive(1)).toEqual([0x20000100]);
  });

  it('loses a ping while the VF holds the buffer', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.start();
    vf.device.mmioWrite(0x2fc, 0x4);
    port.pf.ping(0);
    expect(vf.device.mmioRead(0x2fc)).toBe(0x4);
  });

  it('a ping that crosses a request destroys it', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.start();
    vf.send([0x10, 0]);
    port.pf.ping(0);
    expect(port.pf.step()).toBe(0);
    expect(vf.receive(1)).toEqual([0x20000100]);
  });

  it.each([
    ['trust', (pf: Pf) => pf.setTrust(0, true)],
    ['link state', (pf: Pf) => pf.setLinkState(0, 'disable')],
  ])('a change of %s withdraws CTS and pings without it', (_, change) => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.start();
    expect(port.pf.clearToSend(0)).toBe(true);
    change(port.pf);
    expect(port.pf.clearToSend(0)).toBe(false);
    expect(vf.device.mmioRead(0x2fc)).toBe(0x10);
    expect(vf.receive(1)).toEqual([0x00000100]);
    // Its ACK was answered with "talk to me after a RESET".
    expect(vf.device.mmioRead(0x2fc)).toBe(0x10);
    expect(vf.receive(1)).toEqual([0x40000000]);
  });

  it('a link that the administrator disabled shows in GET_LINK_STATE, VFRE and VFTE, not in VFLINKS', () => {
    const port = makePort();
    port.pf.setLinkState(0, 'disable');
    const vf = new ScriptedVf(port);
    vf.start();
    expect(vf.request([0x10, 0], 2)).toEqual([ACK + 0x10, 0]);
    expect(port.tables.pools[0]).toMatchObject({ rxEnable: false, txEnable: false });
    expect(vf.device.mmioRead(0x10)).toBe(0x70000000);
  });
});

describe('what an administrator changes on the way', () => {
  it('an MTU resets the port, tells the VFs and brings the jumbo rules', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.start(4);
    expect(word0(vf, 5, 9018)).toBe(NACK + 5);
    port.pf.setMtu(9000);
    expect(port.pf.mtu).toBe(9000);
    expect(port.pf.clearToSend(0)).toBe(false);
    expect(port.trace.at(-1)).toEqual({ vf: 1, kind: 'ping', words: [0x100] });
    expect(vf.device.mmioRead(0x2fc)).toBe(0x90);
    vf.start(4);
    expect(port.tables.pools[0]?.rxEnable).toBe(false);
    expect(word0(vf, 5, 9018)).toBe(ACK + 5);
    expect(port.tables.maxFrame).toBe(9018);
  });

  it('an MTU of a PF that is down holds once it is up', () => {
    const port = makePort();
    port.pf.goDown();
    port.pf.setMtu(4000);
    expect([port.pf.up, port.tables.maxFrame]).toEqual([false, 1518]);
    port.pf.comeUp();
    expect(port.tables.maxFrame).toBe(4018);
  });

  it('a link that goes or comes is told every VF, and none of them has to register again', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.start();
    const pings = [
      { vf: 0, kind: 'ping', words: [0x20000100] },
      { vf: 1, kind: 'ping', words: [0x100] },
    ];
    for (const up of [false, true]) {
      port.link.up = up;
      const before = port.trace.length;
      port.pf.step();
      expect(port.trace.slice(before)).toEqual(pings);
      expect(vf.device.mmioRead(0x10) !== 0).toBe(up);
      vf.receive(1);
    }
    expect(port.pf.clearToSend(0)).toBe(true);
  });

  it('state auto and enable end what disable began', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    for (const state of ['auto', 'enable'] as const) {
      port.pf.setLinkState(0, 'disable');
      vf.start();
      expect(vf.request([0x10, 0], 2)).toEqual([ACK + 0x10, 0]);
      port.pf.setLinkState(0, state);
      expect(port.pf.clearToSend(0)).toBe(false);
      vf.start();
      expect(vf.request([0x10, 0], 2)).toEqual([ACK + 0x10, 1]);
      expect(port.tables.pools[0]).toMatchObject({ rxEnable: true, txEnable: true });
    }
  });

  it('query_rss may be given and taken at any time', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.start(3);
    expect(word0(vf, 0xa)).toBe(NACK + 0xa);
    port.pf.setQueryRss(0, true);
    expect(word0(vf, 0xa)).toBe(ACK + 0xa);
    port.pf.setQueryRss(0, false);
    expect(word0(vf, 0xb)).toBe(NACK + 0xb);
  });

  it('a rate needs a link, outlives a reset of the port and is taken off by 0', () => {
    const port = makePort();
    port.link.up = false;
    expect(() => port.pf.setRate(1, 100)).toThrow(/expected a port with a link/);
    port.link.up = true;
    port.pf.setRate(1, 100);
    port.pf.reset();
    expect(port.tables.pools.map(({ txRate }) => txRate)).toEqual([0, 100]);
    port.pf.setRate(1, 0);
    expect(port.tables.pools[1]?.txRate).toBe(0);
  });

  it('tells what is set', () => {
    const { pf } = makePort();
    pf.setAdminMac(1, new Uint8Array([2, 0, 0, 0, 0, 5]));
    pf.setPortVlan(1, 7, 3);
    pf.setTrust(1, true);
    pf.setSpoofCheck(1, false);
    pf.setLinkState(1, 'disable');
    pf.setRate(1, 500);
    pf.setQueryRss(1, true);
    expect(pf.settings()[1]).toEqual({
      vf: 1,
      mac: new Uint8Array([2, 0, 0, 0, 0, 5]),
      portVlan: 7,
      portPriority: 3,
      trusted: true,
      spoofCheck: false,
      linkState: 'disable',
      txRate: 500,
      queryRss: true,
      registered: false,
      api: '1.0',
    });
    expect(pf.trafficClasses).toEqual({ classes: 1, defaultClass: 0 });
  });
});

describe('a PF that goes down and comes up', () => {
  it('pings, resets the port, stops queues, and is deaf until it is up', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.start();
    vf.request([0x10004, 100]);
    vf.request([0x10003, 5]);
    const resets = port.engines[0]?.calls.filter((call) => call === 'queuesReset').length ?? 0;
    port.pf.goDown();
    expect(port.pf.up).toBe(false);
    expect(vf.device.mmioRead(0x2fc)).toBe(0x50); // PFSTS of the ping, RSTI
    expect(vf.device.mmioRead(0x200)).toBe(0x100);
    expect(port.engines[0]?.calls.filter((call) => call === 'queuesReset').length).toBe(resets + 1);
    expect(port.tables.macFilters + port.tables.vlanEntries).toBe(0);
    expect(port.tables.multicastTable.every((word) => word === 0)).toBe(true);
    vf.send([1]);
    expect(port.pf.step()).toBe(0);
    expect(port.recorder.violations.at(-1)?.detail).toContain('RSTI');

    port.pf.comeUp();
    expect(vf.device.mmioRead(0x2fc)).toBe(0x90); // RSTD and the ping; RSTI is gone
    expect(vf.device.mmioRead(0x2fc)).toBe(0);
    expect(vf.receive(1)).toEqual([0x100]);
    expect(port.pf.clearToSend(0)).toBe(false);
    expect(port.tables.pools[0]).toMatchObject({ rxEnable: true, txEnable: true });
    vf.start();
    expect(port.pf.clearToSend(0)).toBe(true);
    expect(port.tables.ownsMac(0, 0x0209c0000000)).toBe(true);
  });

  it('down and up are idempotent', () => {
    const port = makePort();
    port.pf.comeUp();
    expect(port.trace).toEqual([]);
    port.pf.goDown();
    port.pf.goDown();
    expect(port.trace.filter((message) => message.kind === 'ping').length).toBe(2);
  });

  it('a VF reset during RSTI keeps RSTI and raises no RSTD', () => {
    const port = makePort();
    port.pf.goDown();
    port.devices[0]?.mmioWrite(0, 0x04000000);
    expect(port.devices[0]?.mmioRead(0x2fc)).toBe(0x40);
  });
});

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Arena, processArena } from '../../../src/memory/arena.ts';
import { native } from '../../../src/support/native.ts';
import { VfioUserDevice } from '../../../src/vfio/user/client.ts';
import {
  barFile,
  errorReply,
  nextWindow,
  only,
  openFds,
  ScriptedServer,
  thrownBy,
} from './scripted-server.ts';

const ADDRESS = 'vfio-user:/run/vf.sock';
let arena: Arena;
let bar: number;

beforeAll(() => {
  arena = processArena();
  // The window that later ones reuse, so that growing the arena is no part of what tests count.
  arena.releaseWindow(arena.reserveWindow(0x4000));
  bar = barFile();
});
afterAll(() => void native().close(bar));

function open(server: ScriptedServer): VfioUserDevice {
  return VfioUserDevice.over(server, ADDRESS, arena);
}

describe('opening fails and leaves no fd, no window and no connection', () => {
  const set = (change: (server: ScriptedServer) => void) => change;
  test.each([
    [
      'where the VF is taken',
      set((s) => (s.twist = only(1, (r) => errorReply(r, 16)))),
      16,
      'another client has this VF',
    ],
    [
      'where VERSION is refused otherwise',
      set((s) => (s.twist = only(1, (r) => errorReply(r, 22)))),
      22,
      'refused VERSION',
    ],
    [
      'where the server hangs up at VERSION',
      set((s) => (s.twist = only(1, () => -104))),
      104,
      'VERSION',
    ],
    ['where the server speaks nonsense JSON', set((s) => (s.version = 'hello\0')), 71, 'JSON'],
    ['where the device is no PCI device', set((s) => (s.deviceFlags = 1)), 19, 'PCI device'],
    ['where there is no config region', set((s) => (s.regions = 7)), 19, '8 regions'],
    ['where there is no MSI-X', set((s) => (s.irqs = 2)), 19, '3 interrupt types'],
    ['where config space is too small', set((s) => (s.configBytes = 64)), 19, 'config space'],
    ['where there are more vectors than MSI-X allows', set((s) => (s.vectors = 2049)), 19, '2048'],
    ['where BAR0 has another size', set((s) => (s.barBytes = 0x8000)), 19, 'BAR0 of 16384'],
    [
      'where BAR0 is missing',
      set((s) => (s.twist = only(5, (r) => errorReply(r, 22), 0))),
      22,
      'DEVICE_GET_REGION_INFO',
    ],
    [
      'where BAR0 cannot be written',
      set(
        (s) =>
          (s.twist = only(
            5,
            (_, g) => {
              g.bytes[20] = 13;
              return g;
            },
            0,
          )),
      ),
      19,
      'flags 0xd',
    ],
    [
      'where config space cannot be read',
      set((s) => (s.twist = only(9, (r) => errorReply(r, 5)))),
      5,
      'config+0x2',
    ],
  ])('%s', (_, change, errno, why) => {
    const before = openFds();
    const window = nextWindow(arena);
    const server = new ScriptedServer(bar);
    change(server);
    const error = thrownBy(() => open(server));
    expect(error.errno).toBe(errno);
    expect(error.path).toBe('/run/vf.sock');
    expect(error.message).toContain(why);
    expect(server.closed).toBe(1);
    expect(openFds()).toBe(before);
    expect(nextWindow(arena)).toBe(window);
  });

  test('where the file behind BAR0 is too short', () => {
    const short = barFile(0x12000);
    const before = openFds();
    const window = nextWindow(arena);
    const server = new ScriptedServer(short);
    expect(thrownBy(() => open(server)).message).toContain('at least 77824 bytes, got 73728');
    expect(server.closed).toBe(1);
    expect(openFds()).toBe(before);
    native().close(short);
    expect(nextWindow(arena)).toBe(window);
  });

  test('where BAR0 cannot be mapped for writing', () => {
    const sealed = barFile(0x14000, 0x2 | 0x8);
    const before = openFds();
    const window = nextWindow(arena);
    expect(thrownBy(() => open(new ScriptedServer(sealed))).operation).toBe('map BAR0');
    expect(openFds()).toBe(before);
    native().close(sealed);
    expect(nextWindow(arena)).toBe(window);
  });

  test('with an address of another kind, or an option out of range', () => {
    for (const address of ['0000:03:10.0', 'vfio-user:', 'model:0.1', 'vfio-user:/a\0b']) {
      expect(() => VfioUserDevice.connect(address, arena)).toThrow(RangeError);
    }
    const server = new ScriptedServer(bar);
    expect(() => VfioUserDevice.over(server, ADDRESS, arena, { timeoutMs: 0 })).toThrow(RangeError);
    expect(server.closed).toBe(1);
    expect(() => VfioUserDevice.connect(ADDRESS, arena, { timeoutMs: 0 })).toThrow(RangeError);
  });

  test('where nobody listens', () => {
    const error = thrownBy(() => VfioUserDevice.connect('vfio-user:/nowhere/vf.sock', arena));
    expect(error.message).toContain('no vfio-user server at /nowhere/vf.sock; start `ixy model`');
  });
});

test('opening asks for version, device, config, interrupts, device id, BAR0 and events, in that order', () => {
  const server = new ScriptedServer(bar);
  const device = open(server);
  expect(server.takeCommands()).toEqual([1, 4, 5, 7, 9, 5, 7, 7]);
  expect(device.address).toBe(ADDRESS);
  expect(device.deviceId).toBe(0x10ed);
  expect(device.vectors).toBe(3);
  expect(device.iovaRanges).toEqual([{ first: 0, last: 0x7fffffffff }]);
  device.close();
});

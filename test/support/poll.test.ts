import { describe, expect, it } from 'vitest';
import { LimitedClock } from '../../src/support/clock.ts';
import { pollUntil } from '../../src/support/poll.ts';
import { VirtualClock } from './scripted-device.ts';

const spec = { what: 'THING', wanted: '1', intervalUs: 100, timeoutUs: 1_000_000 };

describe('a clock whose owner bounds what waits by it', () => {
  it('ends every wait at that time, and none afterwards', () => {
    const time = new VirtualClock();
    const clock = new LimitedClock(time);
    const wait = (us: number): number => {
      time.after(us, () => {
        value = 1;
      });
      return pollUntil(
        clock,
        spec,
        () => value,
        (seen) => seen === 1,
      );
    };
    let value = 0;
    expect(() =>
      clock.within(40_000, () => {
        wait(20_000);
        value = 0;
        wait(50_000);
      }),
    ).toThrow('THING: wanted 1, last saw 0x0 after 20 ms');
    expect(time.nowUs()).toBe(40_000);
    value = 0;
    expect(wait(500_000)).toBe(1);
    expect(clock.within(1000, () => 7)).toBe(7);
  });
});

import { describe, expect, it } from 'vitest';
import { type Pacer, senderPacer } from '../../src/traffic/pacer.ts';

/** A pacer on a clock that a test moves, and a sender that sends all it may. */
class Sender {
  nowUs = 1e9;
  sent = 0;
  /** Largest number sent without time passing. */
  burst = 0;
  private readonly pacer: Pacer;
  private readonly batch: number;

  constructor(rate: number, batch = 32) {
    this.batch = batch;
    this.pacer = senderPacer(
      (out) => {
        out[0] = this.nowUs;
      },
      rate,
      batch,
    );
  }

  /** Lets time pass, then sends until nothing is due. */
  pass(us: number): void {
    this.nowUs += us;
    let burst = 0;
    for (let n = this.allowance(); n > 0; n = this.allowance()) {
      this.pacer.sent(n);
      burst += n;
    }
    this.sent += burst;
    this.burst = Math.max(this.burst, burst);
  }

  allowance(): number {
    return this.pacer.allowance(this.batch);
  }
}

describe('the pacer of a sender', () => {
  it('lets the first frame go at once and the second when its time has come', () => {
    const sender = new Sender(1000);
    sender.pass(0);
    expect(sender.sent).toBe(1);
    sender.pass(999);
    expect(sender.sent).toBe(1);
    sender.pass(1);
    expect(sender.sent).toBe(2);
  });

  it('never allows more than a batch in one go', () => {
    const sender = new Sender(1e6, 8);
    sender.nowUs += 5000;
    expect(sender.allowance()).toBe(8);
  });

  for (const [rate, stepUs] of [
    [1, 50_000],
    [1000, 7],
    [123_456, 11],
    [1e6, 3],
    [10e6, 2.7],
  ]) {
    it(`sends ${rate} frames a second within one per mille or a batch`, () => {
      const sender = new Sender(rate);
      for (let us = 0; us < 1e6; us += stepUs) sender.pass(stepUs);
      expect(Math.abs(sender.sent - rate)).toBeLessThanOrEqual(Math.max(33, rate / 1000));
    });
  }

  it('keeps its mean within one percent although it is held up 5 ms of every 20', () => {
    const sender = new Sender(500_000);
    for (let us = 0; us < 1e6; us += 20_000) {
      sender.pass(5000);
      for (let k = 0; k < 1500; k++) sender.pass(10);
    }
    expect(Math.abs(sender.sent - 500_000)).toBeLessThan(5000);
  });

  it('makes up for a pause without a burst of more than a few batches, at four times the rate', () => {
    const sender = new Sender(1e6, 32);
    sender.pass(10_000);
    expect(sender.sent).toBeLessThanOrEqual(4 * 32 + 32);
    sender.sent = 0;
    sender.burst = 0;
    for (let k = 0; k < 100; k++) sender.pass(10);
    expect(sender.sent).toBeGreaterThan(3900);
    expect(sender.sent).toBeLessThanOrEqual(4100);
    expect(sender.burst).toBeLessThanOrEqual(64);
  });

  it('forgets what a stall of a minute would have sent, but for a tenth of a second', () => {
    const sender = new Sender(1000);
    sender.pass(60e6);
    for (let ms = 0; ms < 1000; ms++) sender.pass(1000);
    expect(sender.sent).toBeGreaterThan(1000);
    expect(sender.sent).toBeLessThan(1000 + 100 + 4 * 32 + 2);
  });

  it('does not count frames that the ring refused', () => {
    const sender = new Sender(1000);
    expect(sender.allowance()).toBe(1);
    expect(sender.allowance()).toBe(1);
    sender.nowUs += 1000;
    expect(sender.allowance()).toBe(2);
  });
});

// Property: whatever a user, the wire and the host do in whatever order, every
// buffer has exactly one owner, and every frame is delivered once or counted once.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseSilicon } from '../../src/model/silicon.ts';
import { OwnershipBook } from '../suites/driver/ownership-model.ts';
import { Rig } from '../suites/driver/rig.ts';
import { directHarness } from '../support/driver-harness.ts';

const VFRDBAL = 0x1000;
const VFTDBAL = 0x2000;
const VFRDH = 0x1010;
const VFTDH = 0x2010;
const VFTDT = 0x2018;
/** Nobody's memory. */
const NOWHERE = 0x7000_0000;

/** A step of the user, the wire or the host. fast-check's models are not used: the book is the model. */
class Step implements fc.Command<object, OwnershipBook> {
  private readonly name: string;
  private readonly work: (book: OwnershipBook) => void;

  constructor(name: string, work: (book: OwnershipBook) => void) {
    this.name = name;
    this.work = work;
  }
  check(): boolean {
    return true;
  }
  run(_model: object, book: OwnershipBook): void {
    this.work(book);
    book.check();
  }
  toString(): string {
    return this.name;
  }
}

/** Points the descriptor at the head of a ring nowhere, if there is one for the device. */
function misdirect(
  book: OwnershipBook,
  device: { read32(offset: number): number },
  tx: boolean,
): void {
  if (!book.vf.running || book.orphaned) return;
  const head = device.read32(tx ? VFTDH : VFRDH);
  if (tx && head === device.read32(VFTDT)) return;
  const ring = device.read32(tx ? VFTDBAL : VFRDBAL) >>> 2;
  book.rig.harness.arena.views.i32[ring + head * 4] = NOWHERE;
  book.rig.harness.arena.views.i32[ring + head * 4 + 1] = 0;
  if (tx) book.txHung = true;
}

it.each([
  { mode: 'BAR pages shared', trapAll: false, seed: 82599, ms: 6000, chip: {} },
  { mode: 'all of the BAR trapped', trapAll: true, seed: 10_000, ms: 6000, chip: {} },
  {
    mode: 'frames written after ENABLE reads 0',
    trapAll: false,
    seed: 4671,
    ms: 4000,
    chip: { silicon: parseSilicon('late-dma=90,rstd=none') },
  },
])(
  'every buffer has one owner and every frame one fate, in any order of events with $mode',
  async ({ trapAll, seed, ms, chip }) => {
    const count = fc.integer({ min: 1, max: 100 });
    // Mostly small frames: one that no buffer holds takes several descriptors.
    const lengths = fc.array(fc.constantFrom(60, 60, 60, 60, 64, 300, 1514, 2048, 2049, 9014), {
      minLength: 1,
      maxLength: 90,
      size: 'max',
    });
    const step = (name: string, work: (book: OwnershipBook) => void): Step => new Step(name, work);
    /** What a forwarder does in a turn. */
    const traffic = fc.tuple(lengths, count).map(([all, n]) =>
      step(`traffic ${all.length} ${n}`, (book) => {
        book.inject(all);
        book.advance();
        book.receive(n);
        book.send(n);
        book.advance();
        book.give(n >> 1);
      }),
    );
    const recover = fc.constant(step('recover', (book) => book.recover()));
    let rig: Rig;
    let device: ReturnType<Rig['tampered']>;
    // fast-check's own limit would leave a run, and its rig, unfinished.
    const endMs = performance.now() + ms;
    const total = { received: 0, sent: 0, missed: 0, faults: 0, tooLarge: 0 };
    const orders = fc.commands(
      [
        ...[traffic, traffic, traffic, traffic, recover, recover],
        lengths.map((all) => step(`wire ${all.length}`, (book) => book.inject(all))),
        count.map((n) => step(`rx ${n}`, (book) => book.receive(n))),
        count.map((n) => step(`tx ${n}`, (book) => book.send(n))),
        // A frame whose descriptor goes astray before the device looks.
        count.map((n) =>
          step(`bad tx ${n}`, (book) => {
            rig.harness.hold(() => book.send(n));
            misdirect(book, device, true);
          }),
        ),
        count.map((n) => step(`take ${n}`, (book) => book.take(n))),
        count.map((n) => step(`give ${n}`, (book) => book.give(n))),
        fc.constant(
          step('advance', (book) => {
            book.advance();
            book.checkQuiet();
          }),
        ),
        fc.constant(
          step('give twice', (book) => {
            const buf = book.held.pop();
            if (buf === undefined) return;
            book.vf.mempool.give(buf);
            expect(() => book.vf.mempool.give(buf)).toThrow(RangeError);
            expect(() => book.vf.tx[0].batch(Int32Array.of(buf), 0, 1)).toThrow(RangeError);
          }),
        ),
        fc.constant(step('stop', (book) => book.stop())),
        fc.constant(step('start', (book) => book.start())),
        fc.constant(step('restart', (book) => book.restart())),
        fc.constant(step('PF reset', (book) => book.resetPort())),
        fc.constant(step('bad rx', (book) => misdirect(book, device, false))),
      ],
      { maxCommands: 80, size: 'max' },
    );

    await fc.assert(
      fc.asyncProperty(orders, async (commands) => {
        if (performance.now() > endMs) return;
        rig = new Rig(directHarness(trapAll, chip)([{ vfs: 1, pfMtu: 9000 }]));
        device = rig.tampered(0, 0);
        const mempool = rig.mempool({ count: 200, debug: true });
        const book = new OwnershipBook(rig, await rig.openDevice(device, { mempool }));
        fc.modelRun(() => ({ model: {}, real: book }), commands);
        // The doorbell of a queue that a PF reset stopped is seen where tails are trapped.
        if (trapAll && book.everOrphaned) rig.takeViolations();
        const row = rig.counters(0);
        total.received += book.vf.rx[0].counters.packets;
        total.tooLarge += book.vf.rx[0].counters.dropped;
        total.sent += book.vf.tx[0].counters.packets;
        total.missed += row.missedNoDescriptor;
        total.faults += row.iommuFaults;
        book.give(book.held.length);
        book.vf.close();
        rig.takeFaults();
        rig.finish();
      }),
      { seed, numRuns: 80 },
    );
    // None of this was idle talk.
    for (const [what, times] of Object.entries(total)) expect(times, what).toBeGreaterThan(100);
  },
);

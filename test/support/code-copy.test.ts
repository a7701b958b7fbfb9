import { expect, it } from 'vitest';
import {
  type CodeCopy,
  FRESH_COPIES,
  freshCopy,
  loadAhead,
  releaseCopy,
} from '../../src/support/code-copy.ts';
import * as frames from './frames.ts';
import * as shared from './stepping-clock.ts';

const copy = (): Promise<CodeCopy<typeof shared>> =>
  freshCopy('./stepping-clock', import.meta.url, shared);

it('each user gets code of its own, also where an earlier one is gone, until there are many', async () => {
  const first = await copy();
  const second = await copy();
  releaseCopy(first);
  const third = await copy();
  expect(new Set([shared, first.module, second.module, third.module]).size).toBe(4);
  for (let n = 3; n < FRESH_COPIES; n++) await copy();
  const reused = await copy();
  expect(reused.module).toBe(first.module);
  // None is free now: two users never share one.
  expect((await copy()).slot).toBe(FRESH_COPIES);
});

it('hands out what was loaded ahead, and no copy twice', async () => {
  const name = './frames';
  const load = (): Promise<CodeCopy<typeof frames>> => freshCopy(name, import.meta.url, frames);
  loadAhead(name, import.meta.url, frames, 2);
  const copies = [await load(), await load(), await load()];
  expect(new Set([frames, ...copies.map(({ module }) => module)]).size).toBe(4);
  expect(copies.map(({ slot }) => slot)).toEqual([0, 1, 2]);
});

// A model in this thread. Apart from open.ts, so that who drives a real VF loads none of it.

import { processArena } from '../memory/arena.ts';
import { LocalModel, type LocalModelOptions } from './local-model.ts';

/**
 * Makes a software 82599 in this thread. It moves only by its step().
 * @throws RangeError for options out of range
 */
export function createModel(options: LocalModelOptions): LocalModel {
  return new LocalModel(processArena(), options);
}

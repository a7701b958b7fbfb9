// What `ixy pf` is told: the words, and where the model is. Whether port, VF and values exist is for the model to say.

import { parseWords, WORD_FORMS } from '../../model/host/words.ts';
import { flagOption, type ParsedArguments, textOption, UsageError } from '../arguments.ts';

/** What is to be said to a model. */
export interface PfPlan {
  /** Where its sockets are. */
  readonly directory: string;
  /** "show" alone, or words that `parseWords` understands. */
  readonly words: readonly string[];
  /** Print what `show` found as JSON. */
  readonly json: boolean;
}

/** All that can be said, for the help. */
export const FORMS = ['show', ...WORD_FORMS].map((form) => `  ${form}`).join('\n');

/** @throws UsageError */
export function pfPlan(args: ParsedArguments): PfPlan {
  const words = args.positionals;
  const json = flagOption(args, 'json');
  if (words.length === 0) {
    throw new UsageError(
      `pf: expected "show", or words such as "0 vf 1 trust on", got none; see 'ixy pf --help'`,
    );
  }
  if (words[0] === 'show') {
    if (words.length > 1) {
      throw new UsageError(`pf: expected "show" alone, got "${words.join(' ')}"`);
    }
  } else {
    if (json) throw new UsageError(`--json: expected with "show", got "${words.join(' ')}"`);
    try {
      parseWords(words);
    } catch (error) {
      throw new UsageError(`pf: ${(error as Error).message}; see 'ixy pf --help'`);
    }
  }
  return { directory: textOption(args, 'dir') ?? '', words, json };
}

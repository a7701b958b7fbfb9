// RFC 2544 sec 26.1: the highest rate at which nothing is lost, found by halving the range between
// a rate that passed and one that failed. No I/O; the caller runs the trials.

/** A trial as the search sees it. */
export interface RateTrial {
  readonly mpps: number;
  /** Frames lost / frames offered. */
  readonly lostShare: number;
  /** The offered rate was reached. */
  readonly reached: boolean;
}

/** The outcome. */
export interface RateSearch {
  /** Highest rate that passed, 0 where none did. */
  readonly mpps: number;
  /** The rate above it that failed, null where the first one passed. */
  readonly failedMpps: number | null;
}

const passes = ({ lostShare, reached }: RateTrial, loss: number): boolean =>
  reached && lostShare <= loss;

/** The bracket that trials leave: the best that passed, and the lowest above it that failed. */
export function bracket(trials: readonly RateTrial[], loss: number): RateSearch {
  const passed = trials.filter((trial) => passes(trial, loss)).map(({ mpps }) => mpps);
  const mpps = Math.max(0, ...passed);
  const failed = trials.filter((trial) => trial.mpps > mpps).map((trial) => trial.mpps);
  return { mpps, failedMpps: failed.length === 0 ? null : Math.min(...failed) };
}

/** How far to search. */
export interface SearchLimits {
  /** Rate of the first trial. */
  readonly top: number;
  /** Ends when the range is this share of the rate that failed. */
  readonly resolution: number;
  /** Ends with nothing found below this share of `top`. */
  readonly floor: number;
}

/**
 * Searches.
 * @param loss share of frames that may be lost: 0 for RFC 2544's throughput
 * @param known trials made before, at any rate, which it adds to
 */
export async function searchRate(
  { top, resolution, floor }: SearchLimits,
  loss: number,
  known: RateTrial[],
  run: (mpps: number) => Promise<RateTrial>,
): Promise<RateSearch> {
  if (known.length === 0) known.push(await run(top));
  for (;;) {
    const { mpps, failedMpps } = bracket(known, loss);
    if (failedMpps === null || failedMpps - mpps <= resolution * failedMpps) {
      return { mpps, failedMpps };
    }
    if (mpps === 0 && failedMpps < floor * top) return { mpps, failedMpps };
    known.push(await run((mpps + failedMpps) / 2));
  }
}

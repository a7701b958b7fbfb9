// What the thread of `ixy pktgen` and the one that watches it share: words of the arena.

/** Doubles of the counts, from (block >> 1) on. */
export const COUNTS = {
  SENT: 0,
  /** Intact, for the first time. */
  RECEIVED: 1,
  /** Numbers below the highest received that did not come. */
  GAPS: 2,
  DUPLICATES: 3,
  CORRUPT: 4,
  /** Frames of a capture that were not played: longer than allowed, or no frames at all. */
  SKIPPED: 5,
  /** Of those sent: still in the tx ring when the time to wait for the device was over. */
  LEFT: 6,
  BLOCK_BYTES: 64,
} as const;

/** Values of the stop word: send no more and take in what still comes; end at once. */
export const STOP = { SENDING: 1, ALL: 2 } as const;

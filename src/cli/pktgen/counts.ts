// What the thread of `ixy pktgen` and the main thread share: counts in the arena, and the values of the stop word.

/** Doubles of the arena that the thread counts in, from the index on with which it is started. */
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
  /** Microseconds from the start to the last frame. */
  SENDING_US: 6,
  /** How often, since the sending ended, every device has answered a question: the main thread counts here. */
  ANSWERS: 7,
  /** How often the MACs of the frames were changed: the main thread counts here. */
  MAC_CHANGES: 8,
} as const;
export const COUNTS_BYTES = 128;

/** Values of the stop word: send no more and take in what still comes; end at once. */
export const STOP = { SENDING: 1, ALL: 2 } as const;

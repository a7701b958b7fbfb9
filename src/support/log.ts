// The library never prints: whoever opens a device may hand in a Log.

/** Where the library says what a person may want to know. One line a call, no newline. */
export interface Log {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
}

/** The default: says nothing. */
export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
};

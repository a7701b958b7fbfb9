// What the server waits for, as entries for native().poll. Used again at each turn, and grown but
// never shrunk, so that looking at the sockets leaves no garbage behind.

/** Words of an entry: fd, events wanted, events found. */
export const POLL_WORDS = 3;

/** The fds that the server waits for. */
export class PollList {
  entries = 0;
  words = new Int32Array(64 * POLL_WORDS);

  clear(): void {
    this.entries = 0;
  }

  add(fd: number, events: number): void {
    const at = this.entries * POLL_WORDS;
    if (at === this.words.length) {
      const more = new Int32Array(this.words.length * 2);
      more.set(this.words);
      this.words = more;
    }
    this.words[at] = fd;
    this.words[at + 1] = events;
    this.words[at + 2] = 0;
    this.entries++;
  }
}

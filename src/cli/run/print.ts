// What a command that ends by itself prints. Text that came from outside, such as the name of a network interface, is
// made fit for a terminal. Commands that run for a while print through their session.

/** The characters that a terminal may take for a command: all control characters but line ends and tabs. */
const CONTROL = /[^\P{Cc}\n\t]/gu;

/** The text with a question mark for each character that a terminal might obey instead of showing it. */
export function printable(text: string): string {
  return text.replace(CONTROL, '?');
}

/** Prints lines on standard output; output.ts sees to it that they arrive. */
export function print(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

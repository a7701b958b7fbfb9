// Text that came from outside, such as the name of a network interface, made fit for a terminal.

/** The characters that a terminal may take for a command: all control characters but line ends and tabs. */
const CONTROL = /[^\P{Cc}\n\t]/gu;

/** The text with a question mark for each character that a terminal might obey instead of showing it. */
export function printable(text: string): string {
  return text.replace(CONTROL, '?');
}

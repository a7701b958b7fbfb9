// What the first word of a message is, whoever wrote it (docs/82599-vf.md sec 4).

import { MESSAGE, PF_CONTROL_PING, REQUEST } from '../../hw/mailbox.ts';

/** Name of a request as in the PF's headers, from message word 0. */
export function requestName(word0: number): string {
  const opcode = word0 & MESSAGE.mask.OPCODE;
  const found = Object.entries(REQUEST).find(([, code]) => code === opcode);
  return found === undefined ? hex(opcode) : found[0];
}

/** True for a message that the PF sent unasked: the link may have changed, or the registration is gone. */
export function isPing(word: number): boolean {
  return (word & MESSAGE.mask.OPCODE) === PF_CONTROL_PING;
}

/** True where `word` answers a request whose first word was `request`. */
export function isReplyTo(word: number, request: number): boolean {
  const answered = (word & (MESSAGE.mask.ACK | MESSAGE.mask.NACK)) !== 0;
  return answered && ((word ^ request) & MESSAGE.mask.OPCODE) === 0;
}

/** A word for a person. */
export function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}

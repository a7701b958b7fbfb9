// One VF on its socket: who waits, who has it, and the way of a message from a channel to its
// reply. A connection gets the VF with a VERSION that is accepted, not by connecting; whoever
// asks while somebody else has it is told EBUSY. Never blocks; driven by server.ts.

import { ERRNO, POLL } from '../../support/linux.ts';
import type { Log } from '../../support/log.ts';
import {
  COMMAND,
  commandName,
  decodeCommand,
  decodeVersionCommand,
  encodeErrorReply,
  encodeVersionReply,
  HEADER_BYTES,
  HEADER_FLAG,
  isRefusal,
  type Refusal,
  refuse,
} from '../../vfio/user/protocol.ts';
import type { VfSlot } from '../host/host.ts';
import type { VfFunction } from '../types.ts';
import type { BarMemory } from './bar-memory.ts';
import { Channel, MAX_MESSAGE_BYTES, MAX_TRANSFER_BYTES, RECEIVED } from './channel.ts';
import type { ClientFile, ClientFiles } from './client-files.ts';
import { Commands, MAX_DMA_MAPS, type Request, type Result } from './commands.ts';
import type { PollList } from './poll-list.ts';
import { SocketFile } from './socket-file.ts';

/** Connections without the VF that are kept; a further one takes the place of the oldest. */
const MAX_WAITING = 4;
/** Messages of one connection handled at a turn, so that a busy one does not hold up the others. */
const MESSAGES_A_TURN = 64;

const CAPABILITIES = {
  maxMessageFds: 8,
  maxTransferBytes: MAX_TRANSFER_BYTES,
  maxDmaMaps: MAX_DMA_MAPS,
  pageSizes: 4096,
  writeMultiple: true,
} as const;

/** A VF and the memory of its BAR0. */
export interface ServedVf {
  readonly target: VfFunction;
  /** Its pages 1 and 2 are shared with the client; null: every page is trapped. */
  readonly bar: BarMemory | null;
}

/** What a server counts, over all its VFs. */
export interface ServerCounters {
  /** Messages that were answered, or would have been had the client wanted it. */
  messages: number;
  /** Those among them that got an error reply. */
  refused: number;
  /** Replies that came from clients; nothing here ever asks for one. */
  unsolicited: number;
  /** Connections that were ended from this side. */
  dropped: number;
}

/** One VF on its socket. Owns the socket and all connections. */
export class VfEndpoint implements VfSlot {
  readonly target: VfFunction;
  readonly path: string;
  private readonly bar: BarMemory | null;
  /** null while the VF is unplugged. */
  private socket: SocketFile | null;
  private readonly commands: Commands;
  private readonly counters: ServerCounters;
  private readonly log: Log;
  private owner: Channel | null = null;
  private readonly waiting: Channel[] = [];
  private readonly reply = new Uint8Array(MAX_MESSAGE_BYTES);
  private readonly replyView = new DataView(this.reply.buffer);

  /**
   * @param path of the socket, which is made here
   * @throws VfioError where it cannot be made
   */
  constructor(
    { target, bar }: ServedVf,
    path: string,
    files: ClientFiles,
    counters: ServerCounters,
    log: Log,
  ) {
    this.target = target;
    this.path = path;
    this.bar = bar;
    this.socket = new SocketFile(path, log);
    this.commands = new Commands(target, () => bar?.fd ?? -1, files);
    this.counters = counters;
    this.log = log;
  }

  /** A client has the VF. */
  get taken(): boolean {
    return this.owner !== null;
  }

  /** Connections, with and without the VF. */
  get connections(): number {
    return this.waiting.length + (this.owner === null ? 0 : 1);
  }

  /** Adds what this endpoint waits for. */
  addPolls(polls: PollList): void {
    if (this.socket === null) return;
    polls.add(this.socket.fd, POLL.IN);
    if (this.owner !== null) addPoll(polls, this.owner);
    for (let i = 0; i < this.waiting.length; i++) addPoll(polls, this.waiting[i]);
  }

  /**
   * Handles what has come in, new connections last.
   * @param ready fds that poll named
   * @returns messages and connections handled
   */
  serve(ready: ReadonlySet<number>): number {
    let handled = 0;
    // The owner first: where it hung up, the VF is free for those who ask in the same turn.
    const channels = this.owner === null ? [...this.waiting] : [this.owner, ...this.waiting];
    for (const channel of channels) {
      if (ready.has(channel.fd)) handled += this.pump(channel);
    }
    if (this.socket !== null && ready.has(this.socket.fd)) handled += this.acceptAll(this.socket);
    return handled;
  }

  requestRemoval(): void {
    this.commands.requestRemoval();
    this.log.info(`${this.path}: the host asks for the VF`);
  }

  reportError(): void {
    this.commands.reportError();
  }

  vanish(): void {
    this.close();
    this.target.vanish();
    this.log.info(`${this.path}: unplugged`);
  }

  restore(): void {
    // Whoever held the VF may still have the pages: they are all ones for ever, and no longer those of the VF.
    this.bar?.renew();
    this.socket = new SocketFile(this.path, this.log);
    this.target.restore();
    this.log.info(`${this.path}: plugged in`);
  }

  /** Ends the connection whose memory lies in one of `files`. */
  dropUsersOf(files: readonly ClientFile[]): void {
    if (this.owner === null || !files.some((file) => this.commands.uses(file))) return;
    this.drop(
      this.owner,
      'its DMA memory is gone: the file behind it was truncated, or has no pages',
    );
  }

  /** Ends all connections and removes the socket. Idempotent. */
  close(): void {
    for (const channel of [...this.waiting]) this.end(channel);
    if (this.owner !== null) this.end(this.owner);
    this.socket?.close();
    this.socket = null;
  }

  private acceptAll(socket: SocketFile): number {
    let accepted = 0;
    while (accepted < MAX_WAITING) {
      const fd = socket.accept();
      if (fd < 0) break;
      const oldest = this.waiting[MAX_WAITING - 1];
      if (oldest !== undefined) this.drop(oldest, 'too many connections that do not speak');
      const channel = new Channel(fd);
      this.waiting.unshift(channel);
      accepted++;
      // Most clients have sent their VERSION by now.
      this.pump(channel);
    }
    return accepted;
  }

  private pump(channel: Channel): number {
    for (let handled = 0; handled < MESSAGES_A_TURN; handled++) {
      if (channel.blocked && !channel.flush()) return this.end(channel) + handled;
      if (channel.blocked) return handled;
      const received = channel.receive();
      if (received === RECEIVED.NOTHING) return handled;
      if (received === RECEIVED.END) return this.end(channel) + handled;
      if (received === RECEIVED.DAMAGED) {
        this.drop(channel, 'expected a message, got a size or fds that no message can have');
        return handled + 1;
      }
      this.counters.messages++;
      if (!this.handle(channel)) return handled + 1;
    }
    return MESSAGES_A_TURN;
  }

  /** @returns false where the connection ended */
  private handle(channel: Channel): boolean {
    const { message, fds } = channel;
    const header = decodeCommand(message, MAX_MESSAGE_BYTES);
    if (isRefusal(header)) {
      if ((message.getUint32(8, true) & HEADER_FLAG.TYPE) === HEADER_FLAG.REPLY) {
        // No answer to an answer: two sides that did so would never end.
        this.counters.unsolicited++;
        return true;
      }
      return this.refuse(channel, message.getUint16(0, true), message.getUint16(2, true), header);
    }
    const { id, command, noReply } = header;
    const request = { id, command, message, fds, out: this.replyView };
    const result =
      channel === this.owner ? this.commands.answer(request) : this.introduce(channel, request);
    if (typeof result === 'object') {
      const busy = channel !== this.owner && result.errno === ERRNO.EBUSY;
      const alive = this.refuse(channel, id, command, result, noReply);
      if (busy && alive) this.end(channel);
      return alive && !busy;
    }
    if (noReply) return true;
    const fd = channel === this.owner && command !== COMMAND.VERSION ? this.commands.replyFd : -1;
    if (channel.send(this.reply, result, fd)) return true;
    this.end(channel);
    return false;
  }

  /** The first message: VERSION. An accepted one gives the connection the VF. */
  private introduce(channel: Channel, { command, id, message, fds, out }: Request): Result {
    if (command !== COMMAND.VERSION) return refuse('expected VERSION as the first message');
    const version = decodeVersionCommand(message, fds.length);
    if (isRefusal(version)) return version;
    // An owner that hung up a moment ago makes room, whoever of the two poll named.
    if (this.owner !== null) this.pump(this.owner);
    if (this.owner !== null) return refuse('another client has this VF', ERRNO.EBUSY);
    this.waiting.splice(this.waiting.indexOf(channel), 1);
    this.owner = channel;
    this.log.info(`${this.path}: client attached`);
    return encodeVersionReply(out, id, CAPABILITIES, version.minor === 0 ? 0 : undefined);
  }

  private refuse(
    channel: Channel,
    id: number,
    command: number,
    refusal: Refusal,
    noReply = false,
  ): boolean {
    this.counters.refused++;
    this.log.debug(
      `${this.path}: ${commandName(command)} refused with errno ${refusal.errno}: ${refusal.refused}`,
    );
    if (noReply) return true;
    encodeErrorReply(this.replyView, id, command, refusal.errno);
    if (channel.send(this.reply, HEADER_BYTES, -1)) return true;
    this.end(channel);
    return false;
  }

  private drop(channel: Channel, why: string): void {
    this.counters.dropped++;
    this.log.warn(`${this.path}: client dropped: ${why}`);
    this.end(channel);
  }

  /** @returns 1, for the sum of what was handled */
  private end(channel: Channel): number {
    channel.close();
    if (channel === this.owner) {
      this.owner = null;
      this.commands.release();
      this.log.info(`${this.path}: client gone`);
    } else {
      const place = this.waiting.indexOf(channel);
      if (place >= 0) this.waiting.splice(place, 1);
    }
    return 1;
  }
}

function addPoll(polls: PollList, channel: Channel): void {
  polls.add(channel.fd, channel.blocked ? POLL.OUT : POLL.IN);
}

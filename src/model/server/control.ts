// DIR/control.sock, by which `ixy pf` does what an administrator does on the host. JSON lines: a request is
// {"words":["0","vf","1","trust","on"]}, or {"words":["show"]}; its reply, one line, is {"ok":true}, with "ports" for
// show, or {"error":"why"}. Served by the poll of server.ts; never blocks. Whoever says what is no request gets an
// error, whoever does not read is not read from, and both cost the model a few kilobytes.

import { ERRNO, POLL } from '../../support/linux.ts';
import type { Log } from '../../support/log.ts';
import { native } from '../../support/native.ts';
import type { ModelHost } from '../host/host.ts';
import { hostState } from '../host/state.ts';
import { parseWords } from '../host/words.ts';
import type { PollList } from './poll-list.ts';
import { SocketFile } from './socket-file.ts';

/** Bytes of the longest request, its newline included. */
const MAX_LINE = 4096;
/** Connections at once; a further one takes the place of the oldest. */
const MAX_CLIENTS = 16;
/** Connections taken at a turn, so that a crowd does not hold up the model. */
const ACCEPTS_A_TURN = 8;
const NEWLINE = 10;

/** One connection. */
interface Client {
  readonly fd: number;
  readonly line: Uint8Array;
  /** Bytes of `line` that have come. */
  have: number;
  /** Of the reply, what the socket has not taken; null: it waits for a request. */
  rest: Uint8Array | null;
}

/** The control socket of a model. Owns socket and connections. */
export class ControlSocket {
  private readonly socket: SocketFile;
  private readonly host: ModelHost;
  private readonly log: Log;
  /** The oldest first. */
  private readonly clients: Client[] = [];

  /** @throws VfioError where the socket cannot be made */
  constructor(path: string, host: ModelHost, log: Log) {
    this.host = host;
    this.log = log;
    this.socket = new SocketFile(path, log);
  }

  /** Adds what this socket waits for. */
  addPolls(polls: PollList): void {
    polls.add(this.socket.fd, POLL.IN);
    for (let i = 0; i < this.clients.length; i++) {
      polls.add(this.clients[i].fd, this.clients[i].rest === null ? POLL.IN : POLL.OUT);
    }
  }

  /**
   * Handles what has come in.
   * @param ready fds that poll named
   * @returns requests and connections handled
   */
  serve(ready: ReadonlySet<number>): number {
    let handled = 0;
    for (const client of [...this.clients]) {
      if (!ready.has(client.fd)) continue;
      handled++;
      if (!this.pump(client)) this.end(client);
    }
    if (ready.has(this.socket.fd)) handled += this.acceptSome();
    return handled;
  }

  /** Ends all connections and removes the socket. Idempotent. */
  close(): void {
    for (const client of [...this.clients]) this.end(client);
    this.socket.close();
  }

  private acceptSome(): number {
    let accepted = 0;
    while (accepted < ACCEPTS_A_TURN) {
      const fd = this.socket.accept();
      if (fd < 0) break;
      native().setNonBlocking(fd, true);
      if (this.clients.length === MAX_CLIENTS) this.end(this.clients[0]);
      this.clients.push({ fd, line: new Uint8Array(MAX_LINE), have: 0, rest: null });
      accepted++;
    }
    return accepted;
  }

  /** @returns false where the connection is over */
  private pump(client: Client): boolean {
    if (client.rest !== null) return this.send(client, client.rest) && this.answerAll(client);
    const { fd, line, have } = client;
    // Fds that somebody passes are closed, and end the connection.
    const result = native().recvMsg(fd, line, have, MAX_LINE - have, null);
    if (result <= 0) return result === -ERRNO.EAGAIN;
    client.have += result;
    return this.answerAll(client);
  }

  /** Answers the requests that `line` holds, as long as the client takes the replies. */
  private answerAll(client: Client): boolean {
    const { line } = client;
    while (client.rest === null) {
      const end = line.subarray(0, client.have).indexOf(NEWLINE);
      if (end < 0 && client.have < MAX_LINE) return true;
      if (end < 0) {
        // Where the next request begins cannot be told.
        this.send(
          client,
          encode({ error: `a request: expected at most ${MAX_LINE} bytes a line` }),
        );
        return false;
      }
      const reply = this.answer(Buffer.from(line.subarray(0, end)).toString());
      line.copyWithin(0, end + 1, client.have);
      client.have -= end + 1;
      if (!this.send(client, encode(reply))) return false;
    }
    return true;
  }

  private answer(text: string): object {
    try {
      const words = wordsOf(text);
      if (words.length === 1 && words[0] === 'show') {
        return { ok: true, ports: hostState(this.host) };
      }
      parseWords(words)(this.host);
      this.log.info(`host: ${words.join(' ')}`);
      return { ok: true };
    } catch (error) {
      // Refusals; and whatever else goes wrong must not end the model.
      return { error: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Sends what the socket takes of a reply, and keeps the rest. @returns false where the client is gone */
  private send(client: Client, reply: Uint8Array): boolean {
    const sent = native().sendMsg(client.fd, reply, 0, reply.length, null, 0);
    if (sent < 0 && sent !== -ERRNO.EAGAIN) return false;
    client.rest = sent === reply.length ? null : reply.slice(Math.max(0, sent));
    return true;
  }

  private end(client: Client): void {
    native().close(client.fd);
    this.clients.splice(this.clients.indexOf(client), 1);
  }
}

/** @throws RangeError for what is no request */
function wordsOf(text: string): readonly string[] {
  let request: unknown;
  try {
    request = JSON.parse(text);
  } catch {
    request = undefined;
  }
  const words: unknown =
    typeof request === 'object' && request !== null && 'words' in request ? request.words : null;
  if (Array.isArray(words) && words.every((word) => typeof word === 'string')) return words;
  throw new RangeError('a request: expected a line such as {"words":["show"]}');
}

function encode(reply: object): Uint8Array {
  return Buffer.from(`${JSON.stringify(reply)}\n`);
}

// Opens an HTML file in headless Chromium over the DevTools protocol, which Chromium speaks on two
// pipes: it reads commands from fd 3 and writes replies and events to fd 4, each ended by a NUL.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';

const PROGRAMS = [
  '/usr/bin/chromium-headless-shell',
  '/usr/lib/chromium/chromium-headless-shell',
  '/usr/bin/chromium',
];
const DEADLINE_MS = 20_000;

/** Chromium, or undefined where none is installed. */
export const chromium = PROGRAMS.find((path) => existsSync(path));

/** Why a test that needs Chromium is skipped. */
export const NO_CHROMIUM = 'no Chromium: apt-get install chromium-headless-shell';

/**
 * Runs before the page's own scripts: canvasTexts keeps what they write to a canvas, with its place,
 * and pixelsOf reads a copy of a canvas, since Chromium warns who reads back one that is drawn on.
 */
const PROBES = `
  window.canvasTexts = [];
  const { fillText } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    canvasTexts.push({ plot: [...document.querySelectorAll('canvas')].indexOf(this.canvas), text, x, y });
    fillText.call(this, text, x, y);
  };
  window.pixelsOf = (canvas) => {
    const { width, height } = canvas;
    const copy = Object.assign(document.createElement('canvas'), { width, height });
    const context = copy.getContext('2d', { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    return context.getImageData(0, 0, width, height).data;
  };`;

interface Message {
  readonly id?: number;
  readonly method?: string;
  // biome-ignore lint/suspicious/noExplicitAny: its shape depends on the method.
  readonly params?: any;
  // biome-ignore lint/suspicious/noExplicitAny: the same.
  readonly result?: any;
  readonly error?: { readonly message: string };
}

/** A page that is open. */
export interface OpenPage {
  /** What the page threw, wrote to the console, or asked the network for. */
  readonly complaints: readonly string[];
  /** Value of a JavaScript expression in the page. */
  evaluate<T>(expression: string): Promise<T>;
  /** Moves the mouse, and presses or releases its left button. */
  mouse(type: 'mouseMoved' | 'mousePressed' | 'mouseReleased', x: number, y: number): Promise<void>;
  /** A PNG file of what the window shows. */
  screenshot(): Promise<Buffer>;
  close(): Promise<void>;
}

/** Opens `file` and waits until it has been drawn. */
export async function openPage(program: string, file: string): Promise<OpenPage> {
  const profile = mkdtempSync(join(tmpdir(), 'ixy-chromium-'));
  const argv = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
  const child = spawn(
    program,
    [...argv, `--user-data-dir=${profile}`, '--window-size=1280,900', '--remote-debugging-pipe'],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
  );
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  const commands = child.stdio[3] as Writable;
  const replies = child.stdio[4] as Readable;
  commands.on('error', () => {});
  const waiting = new Map<number, (message: Message) => void>();
  const complaints: string[] = [];
  let loaded = (): void => {};
  const load = new Promise<void>((resolve) => {
    loaded = resolve;
  });

  const onEvent = ({ method, params }: Message): void => {
    if (method === 'Page.loadEventFired') loaded();
    if (method === 'Runtime.exceptionThrown') {
      complaints.push(params.exceptionDetails.exception?.description ?? 'exception');
    }
    if (method === 'Runtime.consoleAPICalled') complaints.push(JSON.stringify(params.args));
    if (method === 'Log.entryAdded') complaints.push(params.entry.text);
    if (method === 'Network.requestWillBeSent' && params.request.url !== pathToFileURL(file).href) {
      complaints.push(`asked for ${params.request.url}`);
    }
  };
  let rest = '';
  replies.setEncoding('utf8').on('data', (chunk: string) => {
    const texts = (rest + chunk).split('\0');
    rest = texts.pop() ?? '';
    for (const text of texts) {
      const message: Message = JSON.parse(text);
      if (message.id === undefined) onEvent(message);
      else waiting.get(message.id)?.(message);
    }
  });

  let sent = 0;
  let sessionId: string | undefined;
  const send = async (method: string, params: object = {}): Promise<Message['result']> => {
    const id = ++sent;
    const reply = new Promise<Message>((resolve, reject) => {
      waiting.set(id, resolve);
      const fail = (why: string) => reject(new Error(`${method}: expected a reply, got ${why}`));
      setTimeout(() => fail(`none in ${DEADLINE_MS} ms`), DEADLINE_MS).unref();
      void ended.then(() => fail('the end of Chromium'));
    });
    commands.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const { result, error } = await reply;
    waiting.delete(id);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  };

  const close = async (): Promise<void> => {
    // Chromium's other processes end with it, or by themselves once its pipes are closed.
    await send('Browser.close').catch(() => child.kill('SIGKILL'));
    await ended;
    commands.destroy();
    replies.destroy();
    rmSync(profile, { recursive: true, force: true });
  };
  const evaluate = async <T>(expression: string): Promise<T> => {
    const { result, exceptionDetails } = await send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${result.description}`);
    return result.value;
  };
  try {
    const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
    ({ sessionId } = await send('Target.attachToTarget', { targetId, flatten: true }));
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await send(`${domain}.enable`);
    await send('Page.addScriptToEvaluateOnNewDocument', { source: PROBES });
    await send('Page.navigate', { url: pathToFileURL(file).href });
    await load;
    await evaluate(
      'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))',
    );
  } catch (error) {
    await close();
    throw error;
  }
  return {
    complaints,
    evaluate,
    close,
    mouse: async (type, x, y) => {
      const buttons = type === 'mouseReleased' ? 0 : 1;
      await send('Input.dispatchMouseEvent', {
        type,
        x,
        y,
        button: 'left',
        buttons,
        clickCount: 1,
      });
    },
    screenshot: async () => Buffer.from((await send('Page.captureScreenshot')).data, 'base64'),
  };
}

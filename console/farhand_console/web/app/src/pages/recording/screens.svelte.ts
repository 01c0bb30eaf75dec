// A recorded screen, played: pieces of the backend (web/recorded_screens.py) are handed to noVNC one
// update at a time, when their moment has come and noVNC asks for the next one.
//
// clock      moves while it plays, and rests while the picture is behind it
// seek       enters at the last whole picture before, and draws what follows as fast as it can
// trouble    what noVNC cannot draw, or never finishes: it ends with words, and the page goes on
import type RFB from "@novnc/novnc";
import { asProblem, Problem, problemOf } from "../../lib/problems";
import { local, part, reach } from "../../lib/relay";

interface Told {
  width: number;
  height: number;
  duration_s: number;
  pieces: { at_s: number; is_full: boolean }[];
  problem: unknown;
}
interface Update {
  at_s: number;
  data: Uint8Array<ArrayBuffer>;
}

const TICK_MS = 40;
// So far the picture may be behind before the clock waits for it.
const BEHIND_S = 0.3;
// Of a time in which nothing changes, so much is shown.
const STILL_S = 1;
const PATIENCE_MS = 20_000;
// noVNC's own buffer is bounded; a larger update goes in bit by bit.
const BIT_BYTES = 256 * 1024;
const UPDATE_REQUEST = 3;

/** What noVNC takes for its WebSocket: it is open, and whatever is sent ends here. */
class Channel {
  binaryType = "arraybuffer";
  protocol = "";
  readyState: number = WebSocket.OPEN;
  onopen: unknown = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onerror: unknown = null;
  #asked: () => void;

  constructor(asked: () => void) {
    this.#asked = asked;
  }

  send(data: Uint8Array): void {
    if (data[0] === UPDATE_REQUEST) this.#asked();
  }

  close(): void {
    if (this.readyState === WebSocket.CLOSED) return;
    this.readyState = WebSocket.CLOSED;
    queueMicrotask(() => this.onclose?.({ code: 1000 }));
  }

  give(data: Uint8Array<ArrayBuffer>): void {
    for (let at = 0; at < data.length; at += BIT_BYTES) this.onmessage?.({ data: data.slice(at, at + BIT_BYTES).buffer });
  }
}

const VERSION = new TextEncoder().encode("RFB 003.008\n");

/** What a server says between its version and its first update: no security, the size, no name. */
function greeting(width: number, height: number): Uint8Array<ArrayBuffer> {
  const size = [width >> 8, width & 255, height >> 8, height & 255];
  const format = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];
  return new Uint8Array([1, 1, 0, 0, 0, 0, ...size, ...format, 0, 0, 0, 0]);
}

function updatesOf(piece: ArrayBuffer): Update[] {
  const view = new DataView(piece);
  const updates: Update[] = [];
  for (let at = 0; at + 8 <= piece.byteLength; ) {
    const size = view.getUint32(at + 4);
    updates.push({ at_s: view.getUint32(at) / 1000, data: new Uint8Array(piece.slice(at + 8, at + 8 + size)) });
    at += 8 + size;
  }
  return updates;
}

export class ScreenPlayback {
  position = $state(0);
  duration = $state(0);
  speed = $state(1);
  skipsStill = $state(true);
  isPlaying = $state(false);
  isBehind = $state(false);
  trouble = $state.raw<Problem | null>(null);

  readonly #path: string;
  #told: Told | null = null;
  #rfb: RFB | null = null;
  #channel: Channel;
  #asked: (() => void) | null = null;
  #timer = 0;
  #ticked = 0;
  // The piece that is being shown, its updates, and the next of them.
  #piece = 0;
  #updates: Update[] = [];
  #next = 0;
  #drawnAt = 0;
  #isPumping = false;
  #isClosed = false;
  // Counts seeks: what was being fetched for the one before is of no use.
  #turn = 0;
  // The next piece, fetched ahead.
  #ahead: { number: number; updates: Promise<Update[]> } | null = null;

  constructor(session: string, stream: number) {
    this.#path = `/recordings/${part(session)}/screens/${part(stream)}`;
    this.#channel = new Channel(() => this.#asked?.());
  }

  /** Show it in an element, from a moment on. */
  async open(target: HTMLElement, from_s: number): Promise<void> {
    try {
      const [{ default: Made }, told] = await Promise.all([import("@novnc/novnc"), local<Told>(this.#path)]);
      if (this.#isClosed) return;
      this.#told = told;
      this.duration = told.duration_s;
      const rfb = new Made(target, this.#channel as unknown as WebSocket, { shared: true });
      this.#rfb = rfb;
      rfb.viewOnly = true;
      rfb.focusOnClick = false;
      rfb.scaleViewport = true;
      rfb.background = "transparent";
      rfb.addEventListener("disconnect", () => {
        if (this.#rfb !== rfb) return;
        this.#rfb = null;
        this.#fail(unreadable());
      });
      this.#channel.give(VERSION);
      await this.#give(greeting(told.width, told.height));
      this.#timer = window.setInterval(() => this.#tick(), TICK_MS);
      this.isPlaying = true;
      await this.seek(from_s);
    } catch (error) {
      this.#fail(asProblem(error));
    }
  }

  close(): void {
    this.#isClosed = true;
    window.clearInterval(this.#timer);
    this.isPlaying = false;
    const rfb = this.#rfb;
    this.#rfb = null;
    rfb?.disconnect();
    this.#channel.close();
    this.#asked?.();
  }

  play(): void {
    if (!this.#rfb) return;
    if (this.position >= this.duration) void this.seek(0);
    this.#ticked = performance.now();
    this.isPlaying = true;
  }

  pause(): void {
    this.isPlaying = false;
  }

  async seek(to_s: number): Promise<void> {
    if (!this.#told || !this.#rfb) return;
    const { pieces } = this.#told;
    // Before the first picture there is nothing to show.
    this.position = Math.min(Math.max(pieces[0]?.at_s ?? 0, to_s), this.duration);
    this.#ticked = performance.now();
    const enter = Math.max(0, pieces.findLastIndex((piece) => piece.is_full && piece.at_s <= this.position));
    if (this.position < this.#drawnAt || enter > this.#piece || !this.#updates.length) {
      this.#turn += 1;
      if (enter !== this.#piece) this.#updates = [];
      this.#piece = enter;
      this.#next = 0;
      this.#drawnAt = 0;
    }
    await this.#pump();
  }

  #tick(): void {
    const now = performance.now();
    const passed_s = ((now - this.#ticked) / 1000) * this.speed;
    this.#ticked = now;
    if (this.isPlaying && !this.isBehind) {
      const next = this.#updates[this.#next];
      const still_s = next ? next.at_s - this.position : 0;
      let to = this.position + passed_s;
      if (this.skipsStill && next && still_s > STILL_S * this.speed) to = Math.max(to, next.at_s - STILL_S * this.speed);
      this.position = Math.min(this.duration, to);
      if (this.position >= this.duration) this.isPlaying = false;
    }
    void this.#pump();
  }

  /** Draw whatever is due. */
  async #pump(): Promise<void> {
    if (this.#isPumping) {
      this.isBehind = this.position - this.#drawnAt > BEHIND_S && this.#isDue();
      return;
    }
    this.#isPumping = true;
    try {
      while (this.#rfb) {
        const update = await this.#upcoming();
        if (!update || update.at_s > this.position) break;
        this.#next += 1;
        await this.#give(update.data);
        this.#drawnAt = update.at_s;
      }
      this.isBehind = false;
    } catch (error) {
      this.#fail(asProblem(error));
    } finally {
      this.#isPumping = false;
    }
  }

  #isDue(): boolean {
    const next = this.#updates[this.#next];
    return !next || next.at_s <= this.position;
  }

  /** The next update, of whichever piece; null at the end. */
  async #upcoming(): Promise<Update | null> {
    for (;;) {
      const update = this.#updates[this.#next];
      if (update) return update;
      const turn = this.#turn;
      const number = this.#updates.length ? this.#piece + 1 : this.#piece;
      if (!this.#told || number >= this.#told.pieces.length) {
        if (this.#told?.problem) this.trouble ??= problemOf(this.#told.problem);
        return null;
      }
      const updates = await this.#fetched(number);
      if (!this.#rfb) return null;
      if (turn !== this.#turn) continue;
      this.#piece = number;
      this.#updates = updates;
      this.#next = 0;
    }
  }

  async #fetched(number: number): Promise<Update[]> {
    const updates = await (this.#ahead?.number === number ? this.#ahead.updates : this.#fetch(number));
    const next = number + 1;
    if (this.#ahead?.number !== next && next < (this.#told?.pieces.length ?? 0)) {
      const ahead = { number: next, updates: this.#fetch(next) };
      // It is asked for again when its time has come, and then it counts.
      ahead.updates.catch(() => this.#ahead === ahead && (this.#ahead = null));
      this.#ahead = ahead;
    }
    return updates;
  }

  async #fetch(number: number): Promise<Update[]> {
    const answer = await reach(`/local${this.#path}/pieces/${part(number)}`);
    if (!answer.ok) throw problemOf(await answer.json().catch(() => null), answer.status);
    return updatesOf(await answer.arrayBuffer());
  }

  /** Hand bytes to noVNC, and wait until it asks for more. */
  async #give(data: Uint8Array<ArrayBuffer>): Promise<void> {
    let timer = 0;
    await new Promise<void>((over, fail) => {
      this.#asked = over;
      timer = window.setTimeout(() => fail(unreadable()), PATIENCE_MS);
      this.#channel.give(data);
    }).finally(() => {
      window.clearTimeout(timer);
      this.#asked = null;
    });
  }

  #fail(problem: Problem): void {
    if (this.#isClosed) return;
    this.trouble = problem;
    this.close();
  }
}

function unreadable(): Problem {
  return new Problem("recording-screen", "what was recorded of this screen cannot be shown on");
}

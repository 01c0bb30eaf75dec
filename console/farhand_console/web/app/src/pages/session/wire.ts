// A shell on the device, at the other end of the backend's websocket (web/terminals.py).
//
// Output is counted as it is drawn, and typed input goes no further ahead than the device takes
// it, so neither a flood of output nor a long paste fills anybody's memory.

import { socketUrl } from "../../lib/acts.svelte";
import { Problem, problemOf } from "../../lib/problems";
import { part } from "../../lib/relay";

const PIECE = 16 * 1024;
const AHEAD = 128 * 1024;
const SHOWN_EVERY = 32 * 1024;

export interface Ears {
  ready(): void;
  /** Draw this and call `drawn` when it is on the screen. */
  output(data: Uint8Array, drawn: () => void): void;
  say(words: string): void;
  /** The shell has ended by itself, or something ended it. */
  end(status: number | null, problem: Problem | null): void;
}

interface Message {
  ready?: true;
  took?: number;
  say?: string;
  end?: number;
  error?: unknown;
}

export class Wire {
  #socket: WebSocket;
  #waiting: Uint8Array[] = [];
  #ahead = 0;
  #shown = 0;
  #isOver = false;
  #ears: Ears;

  constructor(session: string, columns: number, rows: number, ears: Ears) {
    this.#ears = ears;
    this.#socket = new WebSocket(socketUrl(`/local/sessions/${part(session)}/terminal`));
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.resize(columns, rows);
    this.#socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      if (typeof event.data === "string") this.#told(JSON.parse(event.data) as Message);
      else {
        const data = new Uint8Array(event.data);
        ears.output(data, () => this.#drawn(data.length));
      }
    };
    this.#socket.onclose = () =>
      this.#over(null, new Problem("console-lost", "farhand web does not answer"));
  }

  resize(columns: number, rows: number): void {
    this.#say({ size: [columns, rows] });
  }

  type(data: Uint8Array): void {
    for (let at = 0; at < data.length; at += PIECE) this.#waiting.push(data.slice(at, at + PIECE));
    this.#pump();
  }

  close(): void {
    this.#isOver = true;
    this.#socket.close();
  }

  #say(message: unknown): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #pump(): void {
    while (this.#waiting.length && this.#ahead < AHEAD && this.#socket.readyState === WebSocket.OPEN) {
      const piece = this.#waiting.shift() as Uint8Array<ArrayBuffer>;
      this.#ahead += piece.length;
      this.#socket.send(piece);
    }
  }

  #drawn(count: number): void {
    this.#shown += count;
    if (this.#shown < SHOWN_EVERY) return;
    this.#say({ shown: this.#shown });
    this.#shown = 0;
  }

  #told(message: Message): void {
    if (message.ready) this.#ears.ready();
    if (message.say !== undefined) this.#ears.say(message.say);
    if (message.took !== undefined) {
      this.#ahead -= message.took;
      this.#pump();
    }
    if (message.end !== undefined) this.#over(message.end, null);
    if (message.error !== undefined) this.#over(null, problemOf(message.error));
  }

  #over(status: number | null, problem: Problem | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ears.end(status, problem);
  }
}

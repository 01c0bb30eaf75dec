// Things that stay current: GETs of the relay that the backend asks again (web/watching.py).
//
//   const tickets = new Watched<Page<Ticket>>(() => "/tickets?limit=50", 3);
//   tickets.body, tickets.problem, tickets.at          inside a component; ends with it

import { socketUrl } from "./acts.svelte";
import { Problem, problemOf } from "./problems";

interface Message {
  id?: number;
  body?: unknown;
  changes?: [number, unknown][];
  problem?: unknown;
  relay?: "lost" | "back";
}

type Taker = (message: Message) => void;

const takers = new Map<number, { wish: string; take: Taker }>();
let socket: WebSocket | null = null;
let count = 0;
let wait_ms = 500;

/** Whether the relay and this machine's backend answer, and since when they do not. */
export const line = $state<{ relay: boolean; console: boolean; since: number }>({
  relay: true,
  console: true,
  since: 0,
});

function connect(): void {
  if (socket || takers.size === 0) return;
  const made = new WebSocket(socketUrl("/local/watch"));
  socket = made;
  made.onopen = () => {
    wait_ms = 500;
    line.console = true;
    line.relay = true;
    for (const { wish } of takers.values()) made.send(wish);
  };
  made.onmessage = (event: MessageEvent<string>) => {
    const message = JSON.parse(event.data) as Message;
    if (message.relay !== undefined) {
      line.relay = message.relay === "back";
      line.since = Date.now();
    } else if (message.id !== undefined) takers.get(message.id)?.take(message);
  };
  made.onclose = () => {
    socket = null;
    if (takers.size === 0) return;
    if (line.console) line.since = Date.now();
    line.console = false;
    setTimeout(connect, wait_ms);
    wait_ms = Math.min(wait_ms * 2, 10_000);
  };
}

function send(words: string): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(words);
  else connect();
}

/** Keep an eye on one address; returns what ends it. */
export function watch(path: string, every_s: number, take: Taker): () => void {
  const id = ++count;
  const wish = JSON.stringify({ watch: id, path, every_s });
  takers.set(id, { wish, take });
  send(wish);
  return () => {
    takers.delete(id);
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ drop: id }));
    if (takers.size === 0) socket?.close();
  };
}

const BLINK_MS = 300;

/** One watched answer; made while a component is set up, and ended with it.
 *
 *  address   returns the path (with its query), or "" for nothing just now; followed as it changes
 *  every_s   seconds between two looks */
export class Watched<T> {
  body = $state.raw<T | null>(null);
  problem = $state.raw<Problem | null>(null);
  /** Which address the body is of. */
  from = "";
  /** When the answer last changed, in ms. */
  at = $state(0);
  isLoading = $state(true);
  #again = $state(0);

  constructor(address: () => string, every_s = 5) {
    $effect(() => {
      const path = address();
      void this.#again;
      this.isLoading = path !== "";
      if (path === "") {
        this.#empty();
        return;
      }
      // Under another address the old answer stays for a blink and no longer: it is not of it.
      if (path !== this.from) this.problem = null;
      const blink = path === this.from ? undefined : setTimeout(() => this.#empty(), BLINK_MS);
      const end = watch(path, every_s, (message) => {
        clearTimeout(blink);
        if (path !== this.from) this.#empty();
        this.from = path;
        this.#take(message);
      });
      return () => {
        clearTimeout(blink);
        end();
      };
    });
  }

  /** Ask again now, because something was changed. */
  refresh(): void {
    this.#again += 1;
  }

  #empty(): void {
    this.body = null;
    this.problem = null;
    this.from = "";
  }

  #take(message: Message): void {
    this.isLoading = false;
    this.at = Date.now();
    if (message.problem !== undefined) {
      this.problem = problemOf(message.problem);
      return;
    }
    this.problem = null;
    if (message.changes !== undefined) {
      const before = this.body as { items: unknown[] } | null;
      if (!before) return;
      const items = [...before.items];
      for (const [place, item] of message.changes) items[place] = item;
      this.body = { ...before, items } as T;
    } else this.body = message.body as T;
  }
}

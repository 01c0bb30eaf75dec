// What a watch does not hold: a ticket's events to their end, and what was said before the newest.

import { asProblem, type Problem } from "../../lib/problems";
import { get, type Page, type Schemas } from "../../lib/relay";
import { ticketPath, type Happening, type Message } from "./desk";

export type TicketFile = Schemas["TicketFile"];
const MOST_PAGES = 20;

/** A ticket's events, oldest first; `follow` asks for those after what is known.
 *
 *  Pages go forward, so the last one is asked again until it is full. */
export class Happenings {
  items = $state.raw<Happening[]>([]);
  problem = $state.raw<Problem | null>(null);
  #cursor = "";
  #before = 0;
  #busy = false;
  #again = false;

  constructor(private readonly number: string) {}

  async follow(): Promise<void> {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    try {
      do {
        this.#again = false;
        await this.#read();
      } while (this.#again);
      this.problem = null;
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.#busy = false;
    }
  }

  async #read(): Promise<void> {
    for (let n = 0; n < MOST_PAGES; n += 1) {
      const cursor = this.#cursor ? `&cursor=${encodeURIComponent(this.#cursor)}` : "";
      const page = await get<Page<Happening>>(`${ticketPath(this.number)}/events?limit=200${cursor}`);
      this.items = [...this.items.slice(0, this.#before), ...page.items];
      if (!page.next) return;
      this.#cursor = page.next;
      this.#before = this.items.length;
    }
  }
}

/** A ticket's files by the message that they came with, as of the last `follow`. */
export class Files {
  by = $state.raw<ReadonlyMap<number, TicketFile[]>>(new Map());
  problem = $state.raw<Problem | null>(null);
  #busy = false;
  #again = false;

  constructor(private readonly number: string) {}

  async follow(): Promise<void> {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    try {
      do {
        this.#again = false;
        await this.#read();
      } while (this.#again);
      this.problem = null;
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.#busy = false;
    }
  }

  async #read(): Promise<void> {
    const found = new Map<number, TicketFile[]>();
    let cursor: string | null = null;
    for (let n = 0; n < MOST_PAGES; n += 1) {
      const more: string = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
      const page: Page<TicketFile> = await get(`${ticketPath(this.number)}/files?limit=200${more}`);
      for (const one of page.items) found.set(one.message, [...(found.get(one.message) ?? []), one]);
      cursor = page.next;
      if (!cursor) break;
    }
    this.by = found;
  }
}

/** What was said before what the ticket itself shows; read from the beginning on, when asked. */
export class Earlier {
  items = $state.raw<Message[]>([]);
  isBusy = $state(false);
  isWhole = $state(false);

  constructor(private readonly number: string) {}

  /** Read everything before a message.
   *
   *  Throws a Problem. */
  async read(before: number): Promise<void> {
    this.isBusy = true;
    try {
      const found: Message[] = [];
      let cursor: string | null = null;
      for (let n = 0; n < MOST_PAGES; n += 1) {
        const more: string = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
        const page: Page<Message> = await get(`${ticketPath(this.number)}/messages?limit=200${more}`);
        found.push(...page.items.filter((one) => one.seq < before));
        cursor = page.next;
        if (!cursor || page.items.some((one) => one.seq >= before)) {
          this.isWhole = true;
          break;
        }
      }
      this.items = found;
    } finally {
      this.isBusy = false;
    }
  }
}

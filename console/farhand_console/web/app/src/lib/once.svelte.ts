// A long list of the relay that is read when somebody asks, page after page.

import type { Paged } from "./pages.svelte";
import { asProblem, type Problem } from "./problems";
import { get, type Page } from "./relay";

/** What a list of the relay is shown by. */
export type Shown<T> = Pick<Paged<T>, "items" | "problem" | "isLoading" | "hasMore" | "more">;

/** A long list that is read when somebody asks, and not again by itself: where reading leaves a trace. */
export class Once<T> {
  items = $state.raw<T[]>([]);
  problem = $state.raw<Problem | null>(null);
  isLoading = $state(false);
  #next = $state<string | null>(null);
  #turn = 0;

  constructor(private readonly address: string) {
    void this.read();
  }

  get hasMore(): boolean {
    return this.#next !== null;
  }

  /** Begin anew. */
  read = (): Promise<void> => this.#fetch("");

  more = async (): Promise<void> => {
    if (this.#next && !this.isLoading) await this.#fetch(this.#next);
  };

  async #fetch(cursor: string): Promise<void> {
    const turn = (this.#turn += 1);
    this.isLoading = true;
    try {
      const mark = this.address.includes("?") ? "&" : "?";
      const page = await get<Page<T>>(cursor ? `${this.address}${mark}cursor=${encodeURIComponent(cursor)}` : this.address);
      if (turn !== this.#turn) return;
      this.items = cursor ? [...this.items, ...page.items] : page.items;
      this.#next = page.next;
      this.problem = null;
    } catch (error) {
      if (turn === this.#turn) this.problem = asProblem(error);
    } finally {
      if (turn === this.#turn) this.isLoading = false;
    }
  }
}

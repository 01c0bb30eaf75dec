// A long list of the relay, page after page; the first page stays current.

import { untrack } from "svelte";
import { get, type Page } from "./relay";
import { fail } from "./toasts.svelte";
import type { Problem } from "./problems";
import { Watched } from "./watch.svelte";

/** The pages behind the first, and what they follow on. */
interface Rest<T> {
  /** The first page that they were read behind, and its cursor. */
  before: T[];
  from: string;
  items: T[];
  pages: number;
  next: string | null;
}

/** Made while a component is set up. Where the first page ends elsewhere than before, the pages
 *  behind it are read again; until then all of them stand as they were, so that no row is in two.
 *
 *  address   returns the path with its query but without `cursor`; "" for nothing
 *  every_s   seconds between two looks at the first page */
export class Paged<T> {
  #first: Watched<Page<T>>;
  #rest = $state.raw<Rest<T> | null>(null);
  #path = "";
  #busy = false;
  #failed = false;
  #address: () => string;

  constructor(address: () => string, every_s = 5) {
    this.#address = address;
    this.#first = new Watched<Page<T>>(address, every_s);
    $effect(() => {
      const path = address();
      if (path === this.#path) return;
      this.#path = path;
      this.#rest = null;
      this.#failed = false;
    });
    $effect(() => {
      if (this.#first.body) untrack(() => this.#follow());
    });
  }

  items = $derived.by(() => {
    const first = this.#first.body;
    const rest = this.#rest;
    if (!first || !rest) return first?.items ?? [];
    return [...(first.next === rest.from ? first.items : rest.before), ...rest.items];
  });

  get problem(): Problem | null {
    return this.#first.problem;
  }

  get isLoading(): boolean {
    return this.#first.isLoading;
  }

  get hasMore(): boolean {
    const first = this.#first.body;
    return first !== null && (this.#rest ?? first).next !== null;
  }

  /** Ask again now, for all of it, because something was changed. */
  refresh(): void {
    this.#first.refresh();
    if (this.#rest) void this.#read(this.#rest.pages);
  }

  /** Fetch the next page, if there is one and none is under way. */
  more = async (): Promise<void> => {
    if (this.hasMore) await this.#read((this.#rest?.pages ?? 0) + 1);
  };

  #follow(): void {
    const first = this.#first.body;
    const rest = this.#rest;
    if (!first || !rest) return;
    if (first.next === null) this.#rest = null;
    else if (first.next === rest.from) this.#rest = { ...rest, before: first.items };
    else void this.#read(rest.pages);
  }

  /** Read so many pages behind the first; those that still follow on it are kept when one is added. */
  async #read(pages: number): Promise<void> {
    const path = this.#address();
    const first = this.#first.body;
    if (this.#busy || !first?.next || !path || this.#first.from !== path) return;
    const rest = this.#rest;
    const isOneMore = rest !== null && rest.from === first.next && rest.pages < pages;
    const read: Rest<T> = isOneMore
      ? { ...rest, before: first.items }
      : { before: first.items, from: first.next, items: [], pages: 0, next: first.next };
    this.#busy = true;
    try {
      const mark = path.includes("?") ? "&" : "?";
      while (read.next && read.pages < pages) {
        const page = await get<Page<T>>(`${path}${mark}cursor=${encodeURIComponent(read.next)}`);
        if (this.#path !== path) return;
        read.items = [...read.items, ...page.items];
        read.next = page.next;
        read.pages += 1;
      }
      this.#rest = read;
      this.#failed = false;
    } catch (error) {
      if (this.#path !== path) return;
      // Said once; what is there stays, and the next look tries again.
      if (!this.#failed) fail(error);
      this.#failed = true;
    } finally {
      this.#busy = false;
    }
    if (!this.#failed && this.#first.body?.next !== this.#rest?.from) this.#follow();
  }
}

// A long list of the relay, page after page; the first page stays current.

import { asProblem, type Problem } from "./problems";
import { get, type Page } from "./relay";
import { Watched } from "./watch.svelte";

/** Made while a component is set up.
 *
 *  address   returns the path with its query but without `cursor`; "" for nothing
 *  every_s   seconds between two looks at the first page */
export class Paged<T> {
  #first: Watched<Page<T>>;
  #rest = $state.raw<T[]>([]);
  #next = $state<string | null>(null);
  #from = "";
  #busy = false;
  #trouble = $state.raw<Problem | null>(null);
  #address: () => string;

  constructor(address: () => string, every_s = 5) {
    this.#address = address;
    this.#first = new Watched<Page<T>>(address, every_s);
    $effect(() => {
      const path = address();
      if (path !== this.#from) {
        this.#from = path;
        this.#rest = [];
        this.#next = null;
      }
    });
  }

  items = $derived.by(() => [...(this.#first.body?.items ?? []), ...this.#rest]);

  get problem(): Problem | null {
    return this.#first.problem ?? this.#trouble;
  }

  get isLoading(): boolean {
    return this.#first.isLoading;
  }

  get hasMore(): boolean {
    return (this.#rest.length ? this.#next : this.#first.body?.next) !== null && this.#first.body !== null;
  }

  refresh(): void {
    this.#first.refresh();
  }

  /** Fetch the next page, if there is one and none is under way. */
  more = async (): Promise<void> => {
    const path = this.#address();
    const cursor = this.#rest.length ? this.#next : (this.#first.body?.next ?? null);
    if (this.#busy || !cursor || !path) return;
    this.#busy = true;
    try {
      const mark = path.includes("?") ? "&" : "?";
      const page = await get<Page<T>>(`${path}${mark}cursor=${encodeURIComponent(cursor)}`);
      if (this.#from === path) {
        this.#rest = [...this.#rest, ...page.items];
        this.#next = page.next;
        this.#trouble = null;
      }
    } catch (error) {
      this.#trouble = asProblem(error);
    } finally {
      this.#busy = false;
    }
  };
}

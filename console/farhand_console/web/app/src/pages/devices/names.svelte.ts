// Devices by name where only their id is told; each is asked for once.

import { get, part, type Schemas } from "../../lib/relay";

const MOST_AT_ONCE = 4;

export class Named {
  #known = $state<Record<string, string>>({});
  #asked = new Set<string>();
  #waiting: string[] = [];
  #running = 0;

  /** The name, or the id until it is known. */
  of(device: string): string {
    const known = this.#known[device];
    if (known === undefined && device && !this.#asked.has(device)) {
      this.#asked.add(device);
      this.#waiting.push(device);
      // Not while something is drawn.
      queueMicrotask(() => this.#next());
    }
    return known ?? device;
  }

  #next(): void {
    while (this.#running < MOST_AT_ONCE && this.#waiting.length) {
      const device = this.#waiting.shift() ?? "";
      this.#running += 1;
      get<Schemas["Device"]>(`/devices/${part(device)}`)
        .then(
          (found) => (this.#known[device] = found.name),
          // A guest's device is none of the fleet; its id says what is known.
          () => (this.#known[device] = device),
        )
        .finally(() => {
          this.#running -= 1;
          this.#next();
        });
    }
  }
}

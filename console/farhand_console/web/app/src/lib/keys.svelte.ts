// The keys of the page that is open; each is one character, and `?` shows them all.

import { untrack } from "svelte";

export interface Shortcut {
  key: string;
  name: string;
  run: () => void;
  /** Whether it may be done now, as its button is told; left out where it always may. */
  when?: () => boolean;
}

let all = $state.raw<Shortcut[]>([]);

export const shortcuts = {
  get all(): Shortcut[] {
    return all;
  },
};

/** Add keys while a component stands; call it while the component is set up. */
export function keys(own: Shortcut[]): void {
  $effect(() => {
    all = [...untrack(() => all), ...own];
    return () => {
      all = all.filter((one) => !own.includes(one));
    };
  });
}

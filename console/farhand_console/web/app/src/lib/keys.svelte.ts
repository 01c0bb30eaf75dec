// The keys of the page that is open; each is one character, and `?` shows them all.

export interface Shortcut {
  key: string;
  name: string;
  run: () => void;
}

export const shortcuts = $state<{ all: Shortcut[] }>({ all: [] });

/** Add keys while a component stands; call it while the component is set up. */
export function keys(own: Shortcut[]): void {
  $effect(() => {
    shortcuts.all = [...shortcuts.all, ...own];
    return () => {
      shortcuts.all = shortcuts.all.filter((one) => !own.includes(one));
    };
  });
}

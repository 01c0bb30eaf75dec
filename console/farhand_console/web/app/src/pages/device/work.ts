// The tabs of a device in which somebody works, and the scopes that each needs.

export type WorkTab = "terminal" | "files" | "tools" | "screen";

export const NEEDED: Record<WorkTab, string[]> = {
  terminal: ["terminal"],
  files: ["files"],
  tools: ["view"],
  screen: ["screen"],
};

/** What is ticked when one connects from a tab. */
export const WANTED: Record<WorkTab, string[]> = {
  terminal: ["view", "terminal"],
  files: ["view", "files"],
  tools: ["view", "terminal"],
  screen: ["view", "screen", "control"],
};

export const workTab = (tab: string): WorkTab | "" => (tab in NEEDED ? (tab as WorkTab) : "");

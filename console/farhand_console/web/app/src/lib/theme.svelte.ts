// Light, dark, or as the system is.

import { recall, remember } from "./store";

export type Theme = "system" | "light" | "dark";
const KEY = "theme";

export const theme = $state<{ now: Theme }>({ now: "system" });

function show(now: Theme): void {
  theme.now = now;
  document.documentElement.dataset["theme"] = now;
}

export function setTheme(now: Theme): void {
  show(now);
  remember(KEY, now);
}

/** Show what was chosen at an earlier visit. */
export function takeUpTheme(): void {
  const kept = recall(KEY);
  if (kept === "light" || kept === "dark") show(kept);
}

show("system");

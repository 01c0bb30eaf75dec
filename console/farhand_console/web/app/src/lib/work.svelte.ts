// The open work: tickets, devices and sessions as tabs under the rail, kept through a reload.

import { untrack } from "svelte";

export interface Work {
  /** The page's address. */
  path: string;
  kind: "ticket" | "device" | "session" | "campaign" | "script" | "article";
  title: string;
}

const KEY = "farhand.work";
const MOST = 24;

function kept(): Work[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    if (!Array.isArray(found)) return [];
    return found
      .filter((one): one is Work => typeof one?.path === "string" && typeof one?.title === "string")
      .slice(0, MOST);
  } catch {
    return [];
  }
}

export const work = $state<{ tabs: Work[] }>({ tabs: kept() });

const keep = (): void => localStorage.setItem(KEY, JSON.stringify(work.tabs));

/** Open a tab, or give it its newer title; the oldest goes when there are too many. An effect may
 *  call it: it depends on nothing here. */
export function opened(one: Work): void {
  untrack(() => {
    const at = work.tabs.findIndex((tab) => tab.path === one.path);
    const known = work.tabs[at];
    if (known && known.title === one.title && known.kind === one.kind) return;
    if (at >= 0) work.tabs[at] = one;
    else work.tabs = [...work.tabs.slice(-(MOST - 1)), one];
    keep();
  });
}

export function closed(path: string): void {
  work.tabs = work.tabs.filter((tab) => tab.path !== path);
  keep();
}

/** A draft that a reload must not lose, by any key; empty forgets it. */
export function draft(key: string): string {
  return localStorage.getItem(`farhand.draft.${key}`) ?? "";
}

export function keepDraft(key: string, text: string): void {
  if (text) localStorage.setItem(`farhand.draft.${key}`, text);
  else localStorage.removeItem(`farhand.draft.${key}`);
}

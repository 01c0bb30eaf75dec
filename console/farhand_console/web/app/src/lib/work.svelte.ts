// The open work: tickets, devices and sessions as tabs under the rail, kept in this console's home.

import { untrack } from "svelte";
import { recall, recallList, remember, takeUpKept } from "./store";

export interface Work {
  /** The page's address. */
  path: string;
  kind: "ticket" | "device" | "session" | "campaign" | "script" | "article";
  title: string;
}

const KEY = "work";
const MOST = 24;

function kept(): Work[] {
  return (recallList(KEY) as (Partial<Work> | null)[])
    .filter((one): one is Work => typeof one?.path === "string" && typeof one.title === "string")
    .slice(0, MOST);
}

export const work = $state<{ tabs: Work[] }>({ tabs: [] });

/** Take up what was left open. */
export async function takeUp(): Promise<void> {
  await takeUpKept();
  work.tabs = kept();
}

const keep = (): void => remember(KEY, JSON.stringify(work.tabs));

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

/** A draft that neither a reload nor a restart may lose, by any key; empty forgets it. */
export const draft = (key: string): string => recall(`draft.${key}`);

export const keepDraft = (key: string, text: string): void => remember(`draft.${key}`, text);

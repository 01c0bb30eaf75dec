// What is taken up again at the next visit: open work, drafts, filters. The backend keeps it in this
// console's home (web/keeping.py), so that it is there after a restart, in whatever browser.

import { reach, local } from "./relay";
import { fail } from "./toasts.svelte";

const KEPT = "/local/kept";
const PAUSE_MS = 400;
const AGAIN_MS = 5000;
// What a browser still sends for a page that goes (Fetch standard, keepalive).
const MOST_LAST_CHARS = 20_000;
// Where a reload finds what the page before it was still about to write.
const UNWRITTEN = "farhand.unwritten";

let things = new Map<string, string>();
// What has not been written yet.
let changed = new Map<string, string>();
let timer: ReturnType<typeof setTimeout> | undefined;
let isWriting = false;
let isTold = false;

/** Read what was kept, before anything asks for it. Without it the page works, and says so. */
export async function takeUpKept(): Promise<void> {
  try {
    const { things: found } = await local<{ things: Record<string, string> }>("/kept");
    things = new Map(Object.entries(found));
  } catch (error) {
    fail(error);
  }
  for (const [key, text] of unwritten()) remember(key, text);
}

function unwritten(): [string, string][] {
  const text = sessionStorage.getItem(UNWRITTEN);
  sessionStorage.removeItem(UNWRITTEN);
  return text ? (JSON.parse(text) as [string, string][]) : [];
}

export const recall = (key: string): string => things.get(key) ?? "";

/** Keep a text by a key; empty forgets it. */
export function remember(key: string, text: string): void {
  if (recall(key) === text) return;
  if (text) things.set(key, text);
  else things.delete(key);
  changed.set(key, text);
  later(PAUSE_MS);
}

function later(pause_ms: number): void {
  clearTimeout(timer);
  timer = setTimeout(() => void write(), pause_ms);
}

async function write(): Promise<void> {
  if (isWriting || changed.size === 0) return;
  const sent = changed;
  changed = new Map();
  isWriting = true;
  try {
    await local(KEPT.slice("/local".length), { things: Object.fromEntries(sent) });
    isTold = false;
    if (changed.size) later(PAUSE_MS);
  } catch (error) {
    // What is newer by now stays newer.
    changed = new Map([...sent, ...changed]);
    if (!isTold) fail(error);
    isTold = true;
    later(AGAIN_MS);
  } finally {
    isWriting = false;
  }
}

/** Hand over at once what a page that goes has not written, and leave it for a reload as well. */
function last(): void {
  if (changed.size === 0) return;
  try {
    sessionStorage.setItem(UNWRITTEN, JSON.stringify([...changed]));
  } catch {
    // Its share is full; the backend is told as well.
  }
  const body = JSON.stringify({ things: Object.fromEntries(changed) });
  const headers = { "content-type": "application/json" };
  // Nobody is left to hear of a failure; a page that comes back writes it again.
  reach(KEPT, { method: "POST", headers, body, keepalive: body.length <= MOST_LAST_CHARS }).catch(
    () => undefined,
  );
}
addEventListener("pagehide", last);

/** A list that was kept as JSON; what is no list is none. */
export function recallList(key: string): unknown[] {
  try {
    const found: unknown = JSON.parse(recall(key) || "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

// What is taken up again at the next visit: open work, drafts, filters. The backend keeps it in this
// console's home (web/keeping.py), so that it is there after a restart, in whatever browser.

import { asProblem } from "./problems";
import { local, reach } from "./relay";
import { fail, tell } from "./toasts.svelte";

const PAUSE_MS = 400;
const AGAIN_MS = 5000;
// As the backend says (web/keeping.py).
const MOST_CHARS = 640 * 1024;
// What a browser still sends for a page that goes (Fetch standard, keepalive: 64 KiB).
const MOST_LAST_CHARS = 20_000;

let things = new Map<string, string>();
// What has not been written yet, and what is on its way.
let changed = new Map<string, string>();
let sending = new Map<string, string>();
let timer: ReturnType<typeof setTimeout> | undefined;
let isTold = false;

/** Read what was kept, before anything asks for it. Without it the page works, and says so. */
export async function takeUpKept(): Promise<void> {
  try {
    const { things: found } = await local<{ things: Record<string, string> }>("/kept");
    things = new Map(Object.entries(found));
  } catch (error) {
    fail(error);
  }
}

export const recall = (key: string): string => things.get(key) ?? "";

/** Keep a text by a key; empty forgets it. */
export function remember(key: string, text: string): void {
  if (recall(key) === text) return;
  if (text) things.set(key, text);
  else things.delete(key);
  if (text.length > MOST_CHARS) {
    if (!isTold) tell("What you write is too long to be kept through a reload");
    isTold = true;
    return;
  }
  changed.set(key, text);
  later(PAUSE_MS);
}

function later(pause_ms: number): void {
  clearTimeout(timer);
  timer = setTimeout(() => void write(), pause_ms);
}

const send = (part: Map<string, string>): Promise<unknown> => local("/kept", { things: Object.fromEntries(part) });

async function write(): Promise<void> {
  if (sending.size || changed.size === 0) return;
  sending = changed;
  changed = new Map();
  try {
    await send(sending);
    isTold = false;
    if (changed.size) later(PAUSE_MS);
  } catch (error) {
    if (!isTold) fail(error);
    isTold = true;
    const isRefused = asProblem(error).code !== "console-lost";
    // One that is refused takes no other with it, and is not tried for ever.
    const again = isRefused ? await refused(sending) : sending;
    // What is newer by now stays newer.
    changed = new Map([...again, ...changed]);
    if (changed.size) later(AGAIN_MS);
  } finally {
    sending = new Map();
  }
}

/** Write one after the other; returns what nobody answered. */
async function refused(all: Map<string, string>): Promise<Map<string, string>> {
  const unanswered = new Map<string, string>();
  for (const [key, text] of all) {
    try {
      await send(new Map([[key, text]]));
    } catch (error) {
      if (asProblem(error).code === "console-lost") unanswered.set(key, text);
    }
  }
  return unanswered;
}

/** Hand over at once what a page that goes has not written. */
function last(): void {
  const headers = { "content-type": "application/json" };
  for (const [key, text] of new Map([...sending, ...changed])) {
    const body = JSON.stringify({ things: { [key]: text } });
    // Nobody is left to hear of a failure; a page that comes back writes it again.
    reach("/local/kept", { method: "POST", headers, body, keepalive: body.length <= MOST_LAST_CHARS }).catch(
      () => undefined,
    );
  }
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

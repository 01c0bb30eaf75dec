// What this browser keeps for one account at one relay; under another nothing of it is seen.

interface Kept {
  /** When it was written, in ms. */
  at: number;
  text: string;
}

const DRAFT = "draft.";
const MOST_DRAFTS = 100;
const DRAFT_DAYS = 30;
const DAY_MS = 86_400_000;
let owner = "";

/** Say whose things are kept, before anything is read; drafts that nobody came back to go. */
export function keepFor(relay: string, account: string): void {
  owner = `farhand ${relay} ${account} `;
  const drafts = everyDraft();
  const since = Date.now() - DRAFT_DAYS * DAY_MS;
  for (const [n, one] of drafts.entries()) {
    if (one.at < since || n >= MOST_DRAFTS) localStorage.removeItem(one.name);
  }
}

/** The newest first. */
function everyDraft(): { name: string; at: number }[] {
  return Object.keys(localStorage)
    .filter((name) => name.startsWith(owner + DRAFT))
    .map((name) => ({ name, at: read(name.slice(owner.length))?.at ?? 0 }))
    .sort((a, b) => b.at - a.at);
}

function read(key: string): Kept | null {
  try {
    const found = JSON.parse(localStorage.getItem(owner + key) ?? "null") as Kept | null;
    return typeof found?.text === "string" && typeof found.at === "number" ? found : null;
  } catch {
    return null;
  }
}

export const recall = (key: string): string => read(key)?.text ?? "";

/** Keep a text by a key; empty forgets it. Returns whether there was room: the oldest drafts make
 *  some. */
export function remember(key: string, text: string): boolean {
  if (!text) {
    localStorage.removeItem(owner + key);
    return true;
  }
  let old: { name: string }[] | null = null;
  for (;;) {
    try {
      localStorage.setItem(owner + key, JSON.stringify({ at: Date.now(), text } satisfies Kept));
      return true;
    } catch {
      // The browser's share is full.
      old ??= everyDraft().filter((one) => one.name !== owner + key);
      const oldest = old.pop();
      if (!oldest) return false;
      localStorage.removeItem(oldest.name);
    }
  }
}

/** A list that was kept as JSON; what is no list is none. */
export function recallList(key: string): unknown[] {
  try {
    const found: unknown = JSON.parse(recall(key) || "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

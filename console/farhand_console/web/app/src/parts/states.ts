// The states in which a campaign's target can be, in the order of a job's life.

import { foreign } from "../lib/format";

export type Tone = "plain" | "good" | "warn" | "bad" | "info";

export const STATES = [
  "planned",
  "eligible",
  "offered",
  "accepted",
  "running",
  "succeeded",
  "no_change",
  "failed",
  "timeout",
  "refused",
  "interrupted",
  "cancelled",
  "expired",
  "gone",
] as const;

export const FINAL = new Set<string>(STATES.slice(5));

const TONES: Record<string, Tone> = {
  accepted: "info",
  running: "info",
  succeeded: "good",
  no_change: "good",
  failed: "bad",
  timeout: "bad",
  refused: "warn",
  interrupted: "bad",
  expired: "warn",
  finished: "good",
  paused: "warn",
  aborted: "bad",
};

export const toneOf = (state: string): Tone => TONES[state] ?? "plain";

/** `no_change` as people read it. */
export const stateWords = (state: string): string => foreign(state.replaceAll("_", " "), 40);

export interface Counted {
  state: string;
  count: number;
}

/** The counts in the order of life; states that the page does not know come last. */
export function inOrder(counts: Record<string, number>): Counted[] {
  const place = (state: string): number => {
    const at = (STATES as readonly string[]).indexOf(state);
    return at < 0 ? STATES.length : at;
  };
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => ({ state, count }))
    .sort((a, b) => place(a.state) - place(b.state));
}

export const totalOf = (counts: Record<string, number>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

export const doneOf = (counts: Record<string, number>): number =>
  Object.entries(counts).reduce((sum, [state, n]) => sum + (FINAL.has(state) ? n : 0), 0);

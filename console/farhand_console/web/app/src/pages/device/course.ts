// How many checks were amiss, and when: what the section `checks` holds now, walked back through the
// relay's history of it.

import type { Schemas } from "../../lib/relay";

type Item = Record<string, unknown>;

export interface CheckCourse {
  /** Moments in ms, as far apart from each other; the last is now. */
  at: number[];
  critical: number[];
  warning: number[];
}

const MOMENTS = 24;
const keyOf = (item: Item): string => `${String(item["id"])} ${String(item["subject"] ?? "")}`;

/** The course from the oldest entry that is there to `end`; a history page is the newest first. */
export function courseOf(items: Item[], history: Schemas["HistoryEntry"][], end: number): CheckCourse {
  const entries = history
    .map((one) => ({ at: new Date(one.seen_at).getTime(), changes: one.changes }))
    .filter((one) => Number.isFinite(one.at) && one.at <= end);
  const begin = entries.at(-1)?.at ?? end;
  const at = Array.from({ length: MOMENTS }, (_, n) => begin + ((end - begin) * n) / (MOMENTS - 1));
  const states = new Map(items.map((item) => [keyOf(item), item["state"]]));
  const count = (state: string): number => [...states.values()].filter((one) => one === state).length;
  const course: CheckCourse = { at, critical: [], warning: [] };
  let undone = 0;
  for (const moment of at.toReversed()) {
    // What came after this moment is taken back, the newest first.
    for (let entry = entries[undone]; entry && entry.at > moment; entry = entries[++undone]) {
      for (const { before, after } of entry.changes) {
        if (after) states.delete(keyOf(after));
        if (before) states.set(keyOf(before), before["state"]);
      }
    }
    course.critical.unshift(count("critical"));
    course.warning.unshift(count("warning"));
  }
  return course;
}

// How full a device was: its section `usage` as the relay's history of it tells, over time.

import type { Schemas } from "../../lib/relay";

type Item = Record<string, unknown>;

export interface Course {
  name: string;
  /** One for each moment of `Usage.at`; null before anything is known. */
  values: (number | null)[];
  now: Item;
}

export interface Usage {
  /** Moments in ms, as far apart from each other. */
  at: number[];
  volumes: Course[];
  system: Course | null;
}

const MOMENTS = 24;
const MOST_VOLUMES = 4;
const GIB = 1024 ** 3;

const number = (value: unknown): number | null =>
  typeof value === "number" && Number.isFinite(value) ? value : null;
const measure = (item: Item): number | null => {
  const free = number(item["memory_available_bytes"]);
  return item["record"] === "system" ? free && free / GIB : number(item["used_percent"]);
};
const nameOf = (item: Item): string =>
  item["record"] === "system" ? "" : typeof item["mount"] === "string" ? item["mount"] : "?";

/** Courses of what the section holds now; a history page is the newest first. */
export function usageOf(items: Item[], history: Schemas["HistoryEntry"][], end: number): Usage {
  const entries = history
    .map((one) => ({ at: new Date(one.seen_at).getTime(), changes: one.changes }))
    .filter((one) => Number.isFinite(one.at) && one.at <= end)
    .reverse();
  const begin = entries[0]?.at ?? end;
  const at = Array.from({ length: MOMENTS }, (_, n) => begin + ((end - begin) * n) / (MOMENTS - 1));
  const course = (now: Item): Course => {
    const name = nameOf(now);
    // Each change tells what was before it, so the first one tells of the time before, too.
    const known: [number, number | null][] = [];
    for (const entry of entries) {
      for (const { before, after } of entry.changes) {
        if (nameOf(after ?? before ?? {}) !== name) continue;
        if (!known.length && before) known.push([begin, measure(before)]);
        known.push([entry.at, after ? measure(after) : null]);
      }
    }
    if (!known.length) known.push([begin, measure(now)]);
    const values = at.map((moment) => known.findLast(([from]) => from <= moment)?.[1] ?? null);
    return { name, now, values };
  };
  const volumes = items
    .filter((one) => one["record"] === "volume" && measure(one) !== null)
    .sort((a, b) => (measure(b) ?? 0) - (measure(a) ?? 0))
    .slice(0, MOST_VOLUMES);
  const system = items.find((one) => one["record"] === "system" && measure(one) !== null);
  return { at, volumes: volumes.map(course), system: system ? course(system) : null };
}

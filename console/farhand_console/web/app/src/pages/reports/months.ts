// Months, and the figures of a report: what each is called and how it is written.

import { minutes, number } from "../../lib/format";
import type { Schemas } from "../../lib/relay";

export type Figures = Schemas["Figures"];

/** `2026-11` of a moment, here. */
export function monthOf(at: Date): string {
  return `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, "0")}`;
}

/** A month some months before or after another. */
export function shifted(month: string, by: number): string {
  const [year, place] = month.split("-").map(Number);
  return monthOf(new Date(year ?? 2000, (place ?? 1) - 1 + by, 1));
}

/** Where a month begins and ends, as the relay is asked; the running one ends now. */
export function span(month: string, now = new Date()): { since: string; until: string } {
  const [year, place] = month.split("-").map(Number);
  const begin = new Date(year ?? 2000, (place ?? 1) - 1, 1);
  const end = new Date(year ?? 2000, place ?? 1, 1);
  const until = end > now ? now : end;
  return { since: begin.toISOString(), until: until.toISOString() };
}

export function monthName(month: string): string {
  const [year, place] = month.split("-").map(Number);
  return new Date(year ?? 2000, (place ?? 1) - 1, 1).toLocaleDateString(navigator.language, { month: "long", year: "numeric" });
}

export interface Measure {
  id: string;
  name: string;
  /** The number that a plot draws; null for none. */
  value: (figures: Figures) => number | null;
  /** As it is written in the table. */
  words: (figures: Figures) => string;
  unit: string;
}

const time = (seconds: number | null | undefined): string =>
  seconds === null || seconds === undefined ? "–" : minutes(seconds / 60);
const spread = (of: Schemas["Spread"]): string =>
  of.median_s === null || of.median_s === undefined ? "–" : `${time(of.median_s)}, 9 of 10 in ${time(of.p90_s)}`;
const share = (value: number | null): string => (value === null ? "–" : `${Math.round(value * 100)} %`);
const hours = (seconds: number | null | undefined): number | null =>
  seconds === null || seconds === undefined ? null : Math.round(seconds / 36) / 100;

export const MEASURES: Measure[] = [
  { id: "created", name: "Opened", unit: "tickets", value: (f) => f.created, words: (f) => number(f.created) },
  { id: "resolved", name: "Resolved", unit: "tickets", value: (f) => f.resolved, words: (f) => number(f.resolved) },
  { id: "backlog", name: "Open at the end", unit: "tickets", value: (f) => f.backlog, words: (f) => number(f.backlog) },
  { id: "reopened", name: "Reopened", unit: "tickets", value: (f) => f.reopened, words: (f) => (f.reopened ? `${number(f.reopened)} (${share(f.reopen_rate)})` : number(f.reopened)) },
  {
    id: "first",
    name: "First response (median)",
    unit: "hours",
    value: (f) => hours(f.first_response.median_s),
    words: (f) => spread(f.first_response),
  },
  {
    id: "first-business",
    name: "First response, working hours",
    unit: "hours",
    value: (f) => hours(f.first_response_business.median_s),
    words: (f) => time(f.first_response_business.median_s),
  },
  {
    id: "resolution",
    name: "Time to resolve (median)",
    unit: "hours",
    value: (f) => hours(f.resolution.median_s),
    words: (f) => spread(f.resolution),
  },
  {
    id: "mttr",
    name: "Time to resolve (mean)",
    unit: "hours",
    value: (f) => hours(f.resolution.mean_s),
    words: (f) => time(f.resolution.mean_s),
  },
  {
    id: "csat",
    name: "Satisfied",
    unit: "%",
    value: (f) => (f.satisfaction.rate === null ? null : Math.round(f.satisfaction.rate * 100)),
    words: (f) => (f.satisfaction.answered ? `${share(f.satisfaction.rate)} of ${number(f.satisfaction.answered)} answers` : "–"),
  },
  {
    id: "answers",
    name: "Surveys answered",
    unit: "%",
    value: (f) => (f.satisfaction.response_rate === null ? null : Math.round(f.satisfaction.response_rate * 100)),
    words: (f) => (f.satisfaction.asked ? `${number(f.satisfaction.answered)} of ${number(f.satisfaction.asked)} (${share(f.satisfaction.response_rate)})` : "–"),
  },
  { id: "down", name: "Downtime", unit: "hours", value: (f) => hours(f.downtime_s), words: (f) => time(f.downtime_s) },
];

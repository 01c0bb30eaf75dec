// Hours and spans as an admin writes them: `09:00-12:00, 13:00-18:00`, `4 h 30 min`.

import { Problem } from "../../lib/problems";

/** Throw a Problem where a new thing has the name of one that is there, and would take its place. */
export function refuseTaken(name: string, taken: string[]): void {
  if (taken.includes(name.trim())) throw new Problem("invalid", `${name.trim()} is there already`, "choose it in the list to change it");
}

/** Minutes of the local day, from and until. */
export type Window = [number, number];

const DAY_MINUTES = 1440;
const WINDOW = /^(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})$/;
const SPAN = /^(\d+)\s*(d|h|min)$/;
const SECONDS: Record<string, number> = { d: 86_400, h: 3600, min: 60 };

const clock = (minute: number): string =>
  `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;

export const windowsText = (windows: Window[]): string =>
  windows.map(([from, until]) => `${clock(from)}-${clock(until)}`).join(", ");

/** The windows of a day; empty where it is closed. Throws a Problem for what is none. */
export function windowsOf(text: string): Window[] {
  const parts = text.split(",").map((one) => one.trim()).filter(Boolean);
  return parts.map((one) => {
    const found = WINDOW.exec(one);
    const [h, m, h2, m2] = (found ?? []).slice(1).map(Number);
    const [from, until] = [(h ?? 99) * 60 + (m ?? 0), (h2 ?? 99) * 60 + (m2 ?? 0)];
    if ((m ?? 60) > 59 || (m2 ?? 60) > 59 || from >= until || until > DAY_MINUTES) {
      throw new Problem("calendar-invalid", `${one} are no hours of a day`, "such as 09:00-12:00, 13:00-18:00");
    }
    return [from, until];
  });
}

/** `4 h`, `1 d`, from seconds of open time; empty for none. */
export function spanText(seconds: number | null | undefined): string {
  if (!seconds) return "";
  for (const [name, length] of Object.entries(SECONDS)) {
    if (seconds % length === 0) return `${seconds / length} ${name}`;
  }
  return `${Math.ceil(seconds / 60)} min`;
}

/** Seconds; null where nothing is owed. Throws a Problem for what is no span. */
export function spanOf(text: string): number | null {
  const words = text.trim();
  if (!words) return null;
  const parts = words.match(/\d+\s*[a-z]+/g) ?? [];
  let seconds = 0;
  for (const one of parts) {
    const [, count, unit] = SPAN.exec(one) ?? [];
    seconds += Number(count) * (SECONDS[unit ?? ""] ?? Number.NaN);
  }
  if (!(seconds > 0) || parts.join("").length !== words.replace(/\s+(?=\d)/g, "").length) {
    throw new Problem("service-policy-invalid", `${words} is no span of time`, "such as 30 min, 4 h, 2 d");
  }
  return seconds;
}

// Dates, durations, sizes and foreign words as people read them.

const LOCALE = navigator.language || "en";
const DAY_TIME = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "short" });
const TIME = new Intl.DateTimeFormat(LOCALE, { timeStyle: "short" });
const NUMBER = new Intl.NumberFormat(LOCALE);
const RELATIVE = new Intl.RelativeTimeFormat(LOCALE, { numeric: "auto", style: "short" });
const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** `22 Nov 2026, 17:05`, or a dash. */
export function when(text: string | null | undefined): string {
  const at = text ? new Date(text) : null;
  return at && !Number.isNaN(at.getTime()) ? DAY_TIME.format(at) : "–";
}

export function timeOfDay(text: string): string {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? "–" : TIME.format(at);
}

/** `5 min. ago`, `in 2 days`; a dash where there is nothing. */
export function ago(text: string | null | undefined, now = Date.now()): string {
  const at = text ? new Date(text).getTime() : Number.NaN;
  if (Number.isNaN(at)) return "–";
  const seconds = (at - now) / 1000;
  for (const [unit, length] of UNITS) {
    if (Math.abs(seconds) >= length) return RELATIVE.format(Math.trunc(seconds / length), unit);
  }
  return RELATIVE.format(0, "second");
}

/** `1:05:09` or `5:09`, from seconds. */
export function clock(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  const two = (n: number): string => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600);
  const rest = `${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return hours ? `${hours}:${rest}` : rest.replace(/^0/, "");
}

/** `1 h 5 min`, from minutes; `−30 min` where it is less than none. */
export function minutes(count: number): string {
  const sign = Math.round(count) < 0 ? "\u2212" : "";
  const whole = Math.abs(Math.round(count));
  const [h, m] = [Math.trunc(whole / 60), whole % 60];
  return sign + (h ? (m ? `${h} h ${m} min` : `${h} h`) : `${m} min`);
}

/** `1.4 GiB`, from bytes. */
export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit ? value.toFixed(1) : Math.round(value)} ${units[unit] ?? ""}`;
}

export const number = (value: number): string => NUMBER.format(value);

// Characters that reorder or hide what follows: shown as what they are, so that no name lies.
const TRICKS =
  /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\uffa0\ufff0-\uffff\u{e0000}-\u{e0fff}]/gu;
// Marks heaped upon one letter stand over the lines above and below.
const HEAPED = /(\p{M}{4})\p{M}+/gu;

/** A foreign text as it may be shown: bounded, and nothing in it turns the line around. */
export function foreign(text: string | null | undefined, most = 400): string {
  if (!text) return "";
  const shown = text
    .replace(TRICKS, (one) => `\u2039${one.codePointAt(0)?.toString(16)}\u203a`)
    .replace(HEAPED, "$1");
  return shown.length > most ? `${shown.slice(0, most)}…` : shown;
}

// A device in words: the states of its checks and of the sections of its inventory.

export type Tone = "plain" | "good" | "warn" | "bad" | "info";

const CHECKS: Record<string, Tone> = { ok: "good", warning: "warn", critical: "bad", unknown: "info", unsupported: "plain" };
export const checkTone = (state: string): Tone => CHECKS[state] ?? "plain";
/** The worst first. */
const GRAVITY = ["critical", "warning", "unknown", "ok", "unsupported"];
export const gravity = (state: string): number => {
  const at = GRAVITY.indexOf(state);
  return at < 0 ? GRAVITY.length : at;
};

interface Section {
  tone: Tone;
  hint: string;
}
const SECTIONS: Record<string, Section> = {
  ok: { tone: "good", hint: "as the device reported it" },
  unsupported: { tone: "plain", hint: "this system has no such thing" },
  denied: { tone: "warn", hint: "the agent was not allowed to look" },
  timeout: { tone: "warn", hint: "looking took too long; it says nothing about what is there" },
  error: { tone: "bad", hint: "looking failed; it says nothing about what is there" },
};
export const sectionState = (status: string): Section => SECTIONS[status] ?? { tone: "plain", hint: "" };

const CAPITALS = /\b(bios|cpu|dns|gpu|id|ip|mac|os|ram|tpm|uefi|uuid)\b/g;
/** `disk_read_only` as people write it, `cpu` as CPU. */
export const heading = (name: string): string => {
  const words = name.replaceAll(/[_.-]+/g, " ").replaceAll(CAPITALS, (one) => one.toUpperCase()).replace(/\bmhz\b/, "MHz");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

/** One value of an inventory as a line. */
export function shown(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(shown).join(", ");
  if (typeof value === "object") {
    return Object.entries(value)
      .map(([name, one]) => `${name}: ${shown(one)}`)
      .join("; ");
  }
  return String(value);
}

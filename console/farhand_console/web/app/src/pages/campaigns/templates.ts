// What a new campaign starts from. `farhand campaign create` reads rings and limits as text
// (cli/campaign_plan.py); here they are put together from what the form asks for.

export const PROVIDERS = [
  "apt",
  "dnf",
  "yum",
  "zypper",
  "pacman",
  "apk",
  "flatpak",
  "snap",
  "brew",
  "winget",
  "windows-update",
];

export interface Ring {
  name: string;
  /** A count, a percentage, `tag TAG`, `query QUERY` or `rest`. */
  who: string;
  soak: string;
  gate: string;
  manual: boolean;
}

export const CANARY: Ring[] = [
  { name: "canary", who: "5", soak: "1h", gate: "", manual: false },
  { name: "early", who: "10%", soak: "1d", gate: "", manual: false },
];

/** One `--ring`. */
export function ringWords(ring: Ring): string {
  const parts = [`${ring.name.trim()}: ${ring.who.trim()}`];
  if (ring.soak.trim()) parts.push(`soak ${ring.soak.trim()}`);
  if (ring.gate.trim()) parts.push(`gate ${ring.gate.trim()}`);
  if (ring.manual) parts.push("manual");
  return parts.join("; ");
}

/** Why a ring cannot be sent; empty where it can. */
export function ringTrouble(ring: Ring): string {
  const all = [ring.name, ring.who, ring.soak, ring.gate].join("");
  if (!ring.name.trim() || !ring.who.trim()) return "needs a name and who is in it";
  if (/[;:]/.test(ring.name) || all.includes(";")) return "; and : cannot stand here";
  if (!/^(\d{1,6}|\d{1,3}(\.\d{1,3})?%|rest|tag \S.*|query \S.*)$/.test(ring.who.trim())) {
    return "5, 10%, rest, tag TAG or query QUERY";
  }
  if (ring.soak.trim() && !/^\d{1,6}[smhd]$/.test(ring.soak.trim())) return "soak is like 30m, 4h or 2d";
  return "";
}

export const LIFETIMES: [number, string][] = [
  [3600, "an hour"],
  [8 * 3600, "8 hours"],
  [86_400, "a day"],
  [3 * 86_400, "3 days"],
  [7 * 86_400, "7 days"],
];

export const REBOOTS: [string, string][] = [
  ["never", "no restart"],
  ["idle", "when nobody is signed in"],
  ["window", "in the window"],
  ["prompt", "at once, people are warned"],
];

// How risk and state of a script look.

import type { Tone } from "../../parts/states";

export const riskTone = (risk: string): Tone =>
  risk === "R0" ? "plain" : risk === "R1" ? "info" : risk === "R2" ? "warn" : "bad";

export function stateTone(state: string): Tone {
  if (state === "published") return "good";
  if (state === "submitted" || state === "deprecated") return "warn";
  return state === "draft" ? "plain" : "bad";
}

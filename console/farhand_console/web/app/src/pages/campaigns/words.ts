// Rings and spans as people read them.

import type { Schemas } from "../../lib/relay";

type Ring = Schemas["RingPlan"];

/** `1 h`, `2 d`, from seconds. */
export function span(seconds: number): string {
  for (const [name, length] of [["d", 86_400], ["h", 3600], ["min", 60]] as const) {
    if (seconds >= length && seconds % length === 0) return `${seconds / length} ${name}`;
  }
  return `${seconds} s`;
}

/** Who is in a ring. */
export function ringWho(ring: Ring): string {
  if (ring.percent !== null && ring.percent !== undefined) return `${ring.percent} %`;
  if (ring.count !== null && ring.count !== undefined) return `${ring.count} devices`;
  if (ring.tag) return `tag ${ring.tag}`;
  if (ring.query) return ring.query;
  return "the rest";
}

export const ringTitle = (ring: Ring): string => `${ring.name} (${ringWho(ring)})`;

/** What must hold before the next ring begins. */
export function gateWords(ring: Ring): string {
  const parts = [`${ring.finished_percent} % finished`, `${ring.success_percent} % of them well`];
  if (ring.soak_s) parts.push(`then ${span(ring.soak_s)}`);
  for (const gate of ring.gates ?? []) parts.push(`check ${gate} well`);
  return parts.join(", ");
}

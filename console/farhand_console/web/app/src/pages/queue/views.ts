// The lists of the queue: which there are, and what the relay is asked for each.

import { part, query, type Schemas } from "../../lib/relay";

export interface View {
  id: string;
  name: string;
}

export const VIEWS: View[] = [
  { id: "mine", name: "Mine" },
  { id: "unassigned", name: "Unassigned" },
  { id: "risk", name: "SLA at risk" },
  { id: "waiting", name: "Waiting on user" },
  { id: "all", name: "All" },
];

/** What is due within this counts as at risk. */
const AT_RISK_MS = 4 * 3_600_000;
const LIMIT = 100;

export interface Wanted {
  view: string;
  q: string;
  tier: string;
  account: string;
  /** The minute it is, so that "at risk" moves on but not with every second. */
  minute: number;
}

/** The address of what is to be listed. */
export function listed(wanted: Wanted, saved: Schemas["SavedFilter"][]): string {
  const { view, tier, account } = wanted;
  const q = wanted.q.trim();
  if (q) return `/ticket-search${query({ q, tier, limit: LIMIT })}`;
  const kept = saved.find((one) => savedId(one) === view);
  if (kept) {
    return `/ticket-list${query({ filter: kept.name, of: kept.owner, limit: LIMIT })}`;
  }
  const before = new Date(wanted.minute * 60_000 + AT_RISK_MS).toISOString();
  const asked: Record<string, Record<string, string | boolean>> = {
    unassigned: { owner: "none", open: true },
    risk: { due_before: before, open: true },
    waiting: { state: "waiting", reason: "customer" },
    all: {},
  };
  const own = asked[view] ?? { owner: account, open: true };
  return `/tickets${query({ ...own, tier, limit: LIMIT })}`;
}

export const savedId = (one: Schemas["SavedFilter"]): string => `${part(one.owner)}/${part(one.name)}`;

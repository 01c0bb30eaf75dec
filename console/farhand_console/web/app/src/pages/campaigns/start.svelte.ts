// Starting campaigns and signing their rings, for any page; a watch goes on while this tab is open.
//
// Orders of R2 and R3 exist ring by ring: a console signs the next one after it has checked that the
// ring before passed its gate. `keepSigning` runs `farhand campaign watch` for that.

import { SvelteMap } from "svelte/reactivity";
import { sign } from "../../lib/acts.svelte";
import { number } from "../../lib/format";
import { asProblem, type Problem } from "../../lib/problems";
import { get, part, type Schemas } from "../../lib/relay";
import { ringTitle } from "./words";

export type Campaign = Schemas["Campaign"];

export interface Started {
  campaign: string;
  state: string;
  signed: number;
  signed_before: number;
  skipped: { device: string; code: string }[];
}

/** Whether all rings are signed at the start. */
export const isAhead = (risk: string): boolean => risk === "R0" || risk === "R1";

function facts(one: Campaign): [string, string][] {
  const rings = one.plan.rings ?? [];
  const given = Object.entries(one.parameters ?? {});
  return [
    ["Campaign", `${one.name} (${one.campaign})`],
    ["Script", `${one.script} ${one.version}`],
    ["Risk", one.risk],
    ["Digest", one.digest],
    ["Devices", `${number(one.targets)} by ${one.query}`],
    ["Rings", rings.map(ringTitle).join(" → ")],
    ...given.map(([name, value]): [string, string] => [`Parameter ${name}`, String(value)]),
    ["Orders end", `${one.ttl_s / 3600} hours after they were signed`],
  ];
}

/** Ask for the key and start. */
export async function start(campaign: string, say?: (line: string) => void): Promise<Started> {
  const one = await get<Campaign>(`/campaigns/${part(campaign)}`);
  const first = one.plan.rings?.[0]?.name ?? "all";
  const what = isAhead(one.risk) ? "one order for each device" : `the orders of ring ${first}`;
  return await sign<Started>(
    `Start ${one.name}: ${what} will be signed.`,
    "campaign-start",
    { campaign, yes: true },
    facts(one),
    say ? { say } : {},
  );
}

/** Ask for the key and let a ring begin that waits for somebody's word. */
export async function approve(one: Campaign, ring: number): Promise<void> {
  const name = one.plan.rings?.[ring]?.name ?? String(ring);
  await sign(
    `Let ring ${name} begin.`,
    "campaign-approve",
    { campaign: one.campaign, ring: String(ring), yes: true },
    [["Ring", name], ...facts(one)],
  );
}

export interface Watch {
  since: string;
  lines: string[];
  problem: Problem | null;
  isRunning: boolean;
  stop: () => void;
}

/** By campaign: what this page signs, or signed. */
export const watches = new SvelteMap<string, Watch>();

/** Ask for the key once and sign each next ring as its turn comes, until the campaign has ended. */
export function keepSigning(one: Campaign): void {
  if (watches.get(one.campaign)?.isRunning) return;
  const controller = new AbortController();
  const kept: Watch = {
    since: new Date().toISOString(),
    lines: [],
    problem: null,
    isRunning: true,
    stop: () => controller.abort(),
  };
  const change = (more: Partial<Watch>): void => {
    Object.assign(kept, more);
    watches.set(one.campaign, { ...kept });
  };
  change({});
  sign(
    `Sign each next ring of ${one.name} once the rings before it passed their gates.`,
    "campaign-watch",
    { campaign: one.campaign, yes: true },
    [...facts(one), ["How long", "until the campaign ends, or this page is closed"]],
    {
      signal: controller.signal,
      say: (line) => change({ lines: [...kept.lines.slice(-99), line] }),
    },
  ).then(
    () => change({ isRunning: false }),
    (error: unknown) => {
      const problem = asProblem(error);
      if (problem.code === "sign-refused") watches.delete(one.campaign);
      else change({ isRunning: false, problem: problem.code === "stopped" ? null : problem });
    },
  );
}

// Whoever closes the page is told that nobody signs any more.
addEventListener("beforeunload", (event) => {
  if ([...watches.values()].some((one) => one.isRunning)) event.preventDefault();
});

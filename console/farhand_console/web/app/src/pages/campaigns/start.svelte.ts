// Starting campaigns and signing their rings, for any page; a watch goes on while this tab is open.
//
// Orders of R2 and R3 exist ring by ring: a console signs the next one after it has checked that the
// ring before passed its gate. `keepSigning` runs `farhand campaign watch` for that.
//
// What the person reads before she signs is what `farhand campaign request` verified, and its hash
// goes into what is signed: a relay that tells of another campaign then gets nothing.

import { SvelteMap } from "svelte/reactivity";
import { act, sign } from "../../lib/acts.svelte";
import { asProblem, type Problem } from "../../lib/problems";
import type { Schemas } from "../../lib/relay";

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

interface Asked {
  risk: string;
  rings: string[];
  sha256: string;
  /** What is signed for, line by line. */
  shown: [string, string][];
}

const asked = (campaign: string): Promise<Asked> => act<Asked>("campaign-request", { campaign });

/** Ask for the key and start. */
export async function start(campaign: string, say?: (line: string) => void): Promise<Started> {
  const read = await asked(campaign);
  const what = isAhead(read.risk) ? "one order for each device" : `the orders of ring ${read.rings[0] ?? "0"}`;
  return await sign<Started>(
    `Start ${campaign}: ${what} will be signed.`,
    "campaign-start",
    { campaign, agreed: read.sha256 },
    read.shown,
    say ? { say } : {},
  );
}

/** Ask for the key and let a ring begin that waits for somebody's word. */
export async function approve(campaign: string, ring: number): Promise<void> {
  const read = await asked(campaign);
  await sign(
    `Let ring ${ring} of ${campaign} begin.`,
    "campaign-approve",
    { campaign, ring: String(ring), agreed: read.sha256 },
    [["begins", `ring ${ring}, ${read.rings[ring] ?? "which is none"}`], ...read.shown],
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
  const signNext = async (): Promise<void> => {
    const read = await asked(one.campaign);
    await sign(
      `Sign each next ring of ${one.campaign} once the rings before it passed their gates.`,
      "campaign-watch",
      { campaign: one.campaign, agreed: read.sha256 },
      [...read.shown, ["how long", "until the campaign ends, or this page is closed"]],
      {
        signal: controller.signal,
        say: (line) => change({ lines: [...kept.lines.slice(-99), line] }),
      },
    );
  };
  signNext().then(
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

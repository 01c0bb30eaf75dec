// A campaign's targets, live: the whole list once, then only what happens to them.
//
// 5,000 targets are ten pages; afterwards each answer of /events holds the steps that were new. A
// changed target is a new object in a new list, so that a table draws what it shows of it and no more.

import { asProblem, problemOf, type Problem } from "../../lib/problems";
import { get, part, query, type Page, type Schemas } from "../../lib/relay";
import { watch } from "../../lib/watch.svelte";

export interface Target {
  order: string;
  state: string;
  ring: number;
  device: string;
  name: string;
  group: string;
}

type Step = Schemas["CampaignStep"];
type Steps = Schemas["Events"];

const PAGE = 500;
const AWAY_MS = 2000;
/** The page is drawn no more often than this, however fast the steps come. */
const EVERY_S = 0.5;
const MOST_STEPS = 200;

const rest = (ms: number): Promise<void> => new Promise((over) => setTimeout(over, ms));

/** Made while a component is set up; ends with it. */
export class Targets {
  all = $state.raw<Target[]>([]);
  /** What happened to the campaign itself, newest first. */
  steps = $state.raw<Step[]>([]);
  isWhole = $state(false);
  problem = $state.raw<Problem | null>(null);
  #place = new Map<string, number>();

  constructor(campaign: string) {
    $effect(() => {
      const controller = new AbortController();
      void this.#follow(`/campaigns/${part(campaign)}`, controller.signal);
      return () => controller.abort();
    });
  }

  counts = $derived.by(() => {
    const counts: Record<string, number> = {};
    for (const { state } of this.all) counts[state] = (counts[state] ?? 0) + 1;
    return counts;
  });

  async #follow(path: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#load(path, signal);
        let cursor = await this.#past(path, signal);
        this.isWhole = true;
        this.problem = null;
        while (!signal.aborted) {
          const found = await this.#news(`${path}/events${query({ cursor, limit: PAGE })}`, signal);
          this.#take(found.items);
          cursor = found.next;
        }
      } catch (error) {
        if (signal.aborted) return;
        this.problem = asProblem(error);
        await rest(AWAY_MS);
      }
    }
  }

  /** Take what happened so far. The list is newer than the first of it, so all of it counts at once. */
  async #past(path: string, signal: AbortSignal): Promise<string> {
    const steps: Step[] = [];
    let cursor: string | null = null;
    for (;;) {
      const found: Steps = await get(`${path}/events${query({ cursor, limit: PAGE, wait: 0 })}`, signal);
      steps.push(...found.items);
      cursor = found.next;
      if (found.items.length < PAGE) break;
    }
    this.#take(steps);
    return cursor;
  }

  /** Wait for steps after this address's cursor; the backend looks for them. */
  #news(address: string, signal: AbortSignal): Promise<Steps> {
    return new Promise((resolve, reject) => {
      const end = watch(address, EVERY_S, (message) => {
        const found = message.body as Steps | undefined;
        if (message.problem !== undefined) over(() => reject(problemOf(message.problem)));
        else if (found?.items.length) over(() => resolve(found));
      });
      const over = (finish: () => void): void => {
        end();
        finish();
      };
      signal.addEventListener("abort", () => over(() => reject(asProblem("over"))), { once: true });
    });
  }

  async #load(path: string, signal: AbortSignal): Promise<void> {
    const found: Target[] = [];
    let cursor: string | null = null;
    do {
      const asked = query({ cursor, limit: PAGE });
      const page: Page<Schemas["fleet_campaigns_Target"]> = await get(`${path}/targets${asked}`, signal);
      for (const { order, state, ring, device, name, group } of page.items) {
        found.push({ order, state, ring, device, name, group });
      }
      cursor = page.next ?? null;
      this.#set(found);
    } while (cursor);
  }

  #set(found: Target[]): void {
    this.all = [...found];
    this.#place = new Map(found.map((one, n) => [one.device, n]));
  }

  #take(steps: Step[]): void {
    const all = [...this.all];
    const own: Step[] = [];
    for (const step of steps) {
      const at = step.device === null ? undefined : this.#place.get(step.device);
      if (step.device === null) own.push(step);
      if (at === undefined) continue;
      const before = all[at];
      if (before) all[at] = { ...before, state: step.state, order: step.order ?? before.order };
    }
    if (steps.length > own.length) this.all = all;
    if (own.length) this.steps = [...own.reverse(), ...this.steps].slice(0, MOST_STEPS);
  }
}

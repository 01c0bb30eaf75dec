// A campaign's targets, live: the whole list once, then only what happens to them.
//
// 5,000 targets are ten pages; afterwards each answer of /events holds the steps that were new. A
// changed target is a new object in a new list, so that a table draws what it shows of it and no more.

import { asProblem, type Problem } from "../../lib/problems";
import { get, part, query, type Page, type Schemas } from "../../lib/relay";

export interface Target {
  order: string;
  state: string;
  ring: number;
  device: string;
  name: string;
  group: string;
}

type Step = Schemas["CampaignStep"];

const PAGE = 500;
const WAIT_S = 20;
const AWAY_MS = 2000;
/** However fast the steps come, the page is drawn no more often than this. */
const DRAW_MS = 200;
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
    let isLoaded = false;
    let cursor: string | null = null;
    const early: Step[] = [];
    while (!signal.aborted) {
      try {
        if (!isLoaded) {
          await this.#load(path, signal);
          isLoaded = true;
        }
        const wait = this.isWhole ? WAIT_S : 0;
        const asked = query({ cursor, limit: PAGE, wait });
        const found: { items: Step[]; next: string } = await get(`${path}/events${asked}`, signal);
        cursor = found.next;
        this.problem = null;
        if (this.isWhole) this.#take(found.items);
        else {
          // The list may be newer than the first of these: they count once all of them are here.
          early.push(...found.items);
          if (found.items.length === PAGE) continue;
          this.#take(early.splice(0));
          this.isWhole = true;
        }
        if (found.items.length < PAGE) await rest(DRAW_MS);
      } catch (error) {
        if (signal.aborted) return;
        this.problem = asProblem(error);
        await rest(AWAY_MS);
      }
    }
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

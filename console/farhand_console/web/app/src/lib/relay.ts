// The relay's API, typed from its OpenAPI document (api.d.ts, made by `make ui-types`).

import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./api";
import { Problem, problemOf } from "./problems";

export type Schemas = components["schemas"];

const failing: Middleware = {
  async onResponse({ response }) {
    if (response.ok) return undefined;
    let body: unknown = null;
    try {
      body = await response.json();
    } catch {
      body = null;
    }
    throw problemOf(body, response.status);
  },
};

/** Typed calls: `(await relay.GET("/tickets/{ticket}", {params: {path: {ticket}}})).data`.
 *  Throws a Problem for every answer that is not a success. */
export const relay = createClient<paths>({ baseUrl: "/relay", fetch: (request) => reach(request) });
relay.use(failing);

/** An untyped GET, for addresses that are put together at run time. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return answer<T>(await reach(`/relay${path}`, { signal: signal ?? null }));
}

// Of changes that nobody answered: whoever sends the same again means the same, not a second one.
const unanswered = new Map<string, { key: string; at: number }>();
// Changes under way: a second click joins the first.
const running = new Map<string, Promise<unknown>>();
const SAME_MS = 10 * 60_000;
const MOST_UNANSWERED = 50;
// Codes after which nobody knows yet what became of it; anything else than a Problem too.
const OPEN = new Set(["console-lost", "idempotency-running"]);

/** POST; `revision` is the one that the change was made against (If-Match). Where no answer came,
 *  the next try of the same within ten minutes is told to the relay as the same one. */
export async function post<T>(path: string, body: unknown = {}, revision?: number): Promise<T> {
  const text = JSON.stringify(body);
  const what = JSON.stringify([path, text, revision ?? null]);
  const same = running.get(what);
  if (same) return same as Promise<T>;
  const sent = send<T>(what, path, text, revision);
  running.set(what, sent);
  try {
    return await sent;
  } finally {
    running.delete(what);
  }
}

async function send<T>(what: string, path: string, text: string, revision?: number): Promise<T> {
  const before = unanswered.get(what);
  const key = before && Date.now() - before.at < SAME_MS ? before.key : crypto.randomUUID();
  const headers: Record<string, string> = {
    "content-type": "application/json",
    "idempotency-key": key,
  };
  if (revision !== undefined) headers["if-match"] = `"${revision}"`;
  unanswered.delete(what);
  const keep = (): void => {
    unanswered.set(what, { key, at: Date.now() });
    const [oldest] = unanswered.keys();
    if (unanswered.size > MOST_UNANSWERED && oldest !== undefined) unanswered.delete(oldest);
  };
  try {
    const response = await reach(`/relay${path}`, { method: "POST", headers, body: text });
    if (response.status >= 500) keep();
    return await answer<T>(response);
  } catch (error) {
    if (!(error instanceof Problem) || OPEN.has(error.code)) keep();
    throw error;
  }
}

/** A call to what only this machine does (`/local/...`). */
export async function local<T>(path: string, body?: unknown): Promise<T> {
  const given =
    body === undefined
      ? {}
      : {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        };
  return answer<T>(await reach(`/local${path}`, given));
}

/** `fetch`; where nobody is there, a Problem that says so. */
export async function reach(what: string | Request, how?: RequestInit): Promise<Response> {
  try {
    return await fetch(what, how);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Problem("console-lost", "farhand web does not answer", "is it still running?");
  }
}

async function answer<T>(response: Response): Promise<T> {
  if (response.status === 204) return undefined as T;
  const kind = response.headers.get("content-type") ?? "";
  const body: unknown = kind.includes("json") ? await response.json() : null;
  if (!response.ok) throw problemOf(body, response.status);
  return body as T;
}

/** A path segment that cannot become a path. */
export const part = (word: string | number): string => encodeURIComponent(String(word));

export interface Page<T> {
  items: T[];
  next: string | null;
}

/** The query string of what is set; empty without any. */
export function query(values: Record<string, string | number | boolean | null | undefined>): string {
  const set = Object.entries(values).filter(([, v]) => v !== null && v !== undefined && v !== "");
  const words = new URLSearchParams(set.map(([k, v]) => [k, String(v)])).toString();
  return words ? `?${words}` : "";
}

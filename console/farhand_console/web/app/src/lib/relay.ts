// The relay's API, typed from its OpenAPI document (api.d.ts, made by `make ui-types`).

import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./api";
import { problemOf } from "./problems";

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
export const relay = createClient<paths>({ baseUrl: "/relay" });
relay.use(failing);

/** An untyped GET, for addresses that are put together at run time. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return answer<T>(await fetch(`/relay${path}`, { signal: signal ?? null }));
}

/** POST; `revision` is the one that the change was made against (If-Match). */
export async function post<T>(path: string, body: unknown = {}, revision?: number): Promise<T> {
  const headers: Record<string, string> = {
    "content-type": "application/json",
    "idempotency-key": crypto.randomUUID(),
  };
  if (revision !== undefined) headers["if-match"] = `"${revision}"`;
  return answer<T>(
    await fetch(`/relay${path}`, { method: "POST", headers, body: JSON.stringify(body) }),
  );
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
  return answer<T>(await fetch(`/local${path}`, given));
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

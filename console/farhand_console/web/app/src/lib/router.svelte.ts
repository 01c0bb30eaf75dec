// Addresses: every page has one, Back works, and a reload shows the same page.

import type { Component } from "svelte";

export interface Route {
  /** Of the rail: which area this page belongs to. */
  area: string;
  /** `/tickets/:ticket`: a word after `:` is a parameter. */
  path: string;
  load: () => Promise<{ default: Component<never> }>;
}

interface Place {
  path: string;
  search: string;
}

const here = (): Place => ({ path: location.pathname, search: location.search });

export const place = $state<Place>(here());

addEventListener("popstate", () => Object.assign(place, here()));

/** Go to an address of this page, such as `/tickets/FH-1?tab=device`. */
export function go(address: string, { replace = false }: { replace?: boolean } = {}): void {
  const before = `${location.pathname}${location.search}`;
  if (address !== before) {
    if (replace) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
  }
  Object.assign(place, here());
}

/** One value of the address's query. */
export const param = (name: string): string => new URLSearchParams(place.search).get(name) ?? "";

/** Change one value of the query, leaving the others; empty takes it out. */
export function setParam(name: string, value: string, { replace = true } = {}): void {
  const words = new URLSearchParams(place.search);
  if (value) words.set(name, value);
  else words.delete(name);
  const search = words.toString();
  go(`${place.path}${search ? `?${search}` : ""}`, { replace });
}

/** The parameters of an address under a pattern; null where it does not fit. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const found: Record<string, string> = {};
  for (const [n, word] of wanted.entries()) {
    const value = given[n] ?? "";
    if (word.startsWith(":") && value) {
      try {
        found[word.slice(1)] = decodeURIComponent(value);
      } catch {
        return null;
      }
    } else if (word !== value) return null;
  }
  return found;
}

/** Follow links of this page without loading it anew (on the document). */
export function followLinks(event: MouseEvent): void {
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (event.defaultPrevented || event.button !== 0 || !plain) return;
  const link = (event.target as Element | null)?.closest?.("a");
  if (!link || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href, location.href);
  if (url.origin !== location.origin || /^\/(relay|local|assets)\//.test(url.pathname)) return;
  event.preventDefault();
  go(url.pathname + url.search);
}

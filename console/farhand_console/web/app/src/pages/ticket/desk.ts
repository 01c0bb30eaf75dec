// The desk's words: what a ticket can be, how that looks, and the steps that move it.

import { me } from "../../lib/me.svelte";
import { Problem } from "../../lib/problems";
import { part, post, type Schemas } from "../../lib/relay";
import { fail, tell } from "../../lib/toasts.svelte";

export type Ticket = Schemas["Ticket"];
export type TicketView = Schemas["TicketView"];
export type Message = Schemas["Message"];
export type Happening = Schemas["Event"];
export type Tone = "plain" | "good" | "warn" | "bad" | "info";

export const KINDS = [
  "incident",
  "request",
  "question",
  "access",
  "complaint",
  "suggestion",
  "change",
  "problem",
  "walk-in",
] as const;
export const WEIGHTS = ["high", "medium", "low"] as const;
export const WAITING_FOR = ["customer", "vendor", "visit", "change", "reminder"] as const;
export const LINKS = ["relates", "parent", "duplicate-of", "blocked-by"] as const;
export const LANGUAGES: [string, string][] = [
  ["en", "English"],
  ["de", "Deutsch"],
  ["pt", "Português"],
  ["ro", "Română"],
  ["ru", "Русский"],
];
export const MAX_TIER = 3;

const ENDED = ["resolved", "closed", "merged", "spam"];
export const isEnded = (ticket: Ticket): boolean => ENDED.includes(ticket.state);

/** `waiting for customer`, `open`. */
export const stateWords = (ticket: Ticket): string =>
  ticket.state === "waiting" && ticket.state_reason
    ? `waiting for ${ticket.state_reason}`
    : ticket.state;

export function stateTone(state: string): Tone {
  if (state === "new") return "info";
  if (state === "waiting") return "warn";
  if (state === "resolved" || state === "closed") return "good";
  return "plain";
}

export function priorityTone(priority: string): Tone {
  if (priority === "urgent") return "bad";
  return priority === "high" ? "warn" : "plain";
}

export const ticketPath = (number: string): string => `/tickets/${part(number)}`;

/** Take one step on a ticket, against the revision that is on the screen.
 *
 *  Returns whether it was taken.  Somebody else's change in between is told as that. */
export async function step(
  ticket: Pick<Ticket, "number" | "revision">,
  verb: string,
  body: unknown,
  done: string,
): Promise<boolean> {
  try {
    await post(`${ticketPath(ticket.number)}/${verb}`, body, ticket.revision);
    if (done) tell(done);
    return true;
  } catch (error) {
    if (error instanceof Problem && error.code === "revision-mismatch") {
      fail(
        new Problem(
          error.code,
          `${ticket.number} was changed by somebody else just now`,
          "it is loaded anew: look at it, then do it again",
        ),
      );
    } else fail(error);
    return false;
  }
}

export const take = (ticket: Ticket): Promise<boolean> =>
  step(ticket, "assign", { owner: me.here?.account ?? "" }, `${ticket.number} is yours`);

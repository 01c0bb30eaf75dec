// One thread out of what the relay keeps apart: what was said, what happened, what ran, sessions.

import type { Schemas } from "../../lib/relay";
import type { Happening, Message } from "./desk";

export type Order = Schemas["OrderLine"];
export type SessionLine = Schemas["SessionLine"];

export type Entry =
  | { key: string; at: string; what: "message"; message: Message }
  | { key: string; at: string; what: "event"; event: Happening }
  | { key: string; at: string; what: "order"; order: Order }
  | { key: string; at: string; what: "session"; session: SessionLine };

// These only say that a message was written, which stands in the thread itself.
const SAID = new Set(["reply", "note", "requester-reply", "session", "chat", "call", "instruction", "run"]);

/** Everything by its time; messages before what happened in the same moment. */
export function entries(
  messages: Message[],
  events: Happening[],
  orders: Order[],
  sessions: SessionLine[],
): Entry[] {
  const first = messages[0]?.at ?? "";
  const all: Entry[] = [
    ...messages.map((message): Entry => ({ key: `m${message.seq}`, at: message.at, what: "message", message })),
    ...events
      .filter((event) => !SAID.has(event.kind))
      .map((event): Entry => ({ key: `e${event.seq}`, at: event.at, what: "event", event })),
    ...orders.map((order): Entry => ({ key: `o${order.order}`, at: order.created_at, what: "order", order })),
    ...sessions.map((session): Entry => ({ key: `s${session.session}`, at: session.started_at ?? first, what: "session", session })),
  ];
  return all.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
}

const text = (value: unknown): string => (typeof value === "string" || typeof value === "number" ? String(value) : "");

/** What happened, in a line; what is not known by name is told by its kind and its values. */
export function eventWords(event: Happening): string {
  const d = event.detail;
  const [from, to] = [text(d["from"]), text(d["to"])];
  switch (event.kind) {
    case "created":
      return `opened it${text(d["channel"]) ? ` by ${text(d["channel"])}` : ""}`;
    case "assigned":
      return `gave it to ${text(d["owner"]) || to || "somebody"}`;
    case "escalated":
      return `handed it from tier ${from} to tier ${to}: ${text(d["reason"])}`;
    case "resolved":
      return "resolved it";
    case "reopened":
      return `opened it again${text(d["reason"]) ? `: ${text(d["reason"])}` : ""}`;
    case "waiting":
      return `lets it wait for ${text(d["reason"])}`;
    case "merged":
      return `merged it${text(d["into"]) || to ? ` into ${text(d["into"]) || to}` : ""}`;
    case "time":
      return "wrote down work";
    default: {
      const values = Object.entries(d)
        .filter(([name, value]) => text(value) !== "" && name !== "message")
        .slice(0, 6)
        .map(([name, value]) => `${name.replace(/_/g, " ")} ${text(value)}`);
      return [event.kind.replace(/-/g, " "), ...values].join(" · ");
    }
  }
}

export interface Piece {
  isQuoted: boolean;
  text: string;
}

/** A mail's text in pieces: its own words, and the history that it quotes.
 *
 *  The ranges count characters as the relay does (code points), not this language's units. */
export function pieces(message: Message): Piece[] {
  const folded = message.folded ?? [];
  if (!folded.length) return [{ isQuoted: false, text: message.body }];
  const letters = [...message.body];
  const made: Piece[] = [];
  let at = 0;
  for (const [start, end] of folded) {
    made.push({ isQuoted: false, text: letters.slice(at, start).join("") });
    made.push({ isQuoted: true, text: letters.slice(start, end).join("") });
    at = end;
  }
  made.push({ isQuoted: false, text: letters.slice(at).join("") });
  return made.map((one) => ({ ...one, text: one.text.replace(/^\n+|\n+$/g, "") })).filter((one) => one.text.trim());
}

/** What a check found, in a sentence, where a script printed it as a check does; empty otherwise. */
export function finding(stdout: string): string {
  try {
    const told: unknown = JSON.parse(stdout);
    if (typeof told !== "object" || told === null) return "";
    const { state, summary, plain } = told as Record<string, unknown>;
    return [text(state), text(plain), text(summary)].filter(Boolean).join(" – ");
  } catch {
    return "";
  }
}

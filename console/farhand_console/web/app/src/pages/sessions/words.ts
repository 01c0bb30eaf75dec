// Sessions in words: what their states, ends and scopes mean.

import type { Schemas } from "../../lib/relay";
import { foreign } from "../../lib/format";

/** A session whose key this console holds (web/session_tools.py). */
export interface Held {
  session: string;
  device: string;
  device_name: string;
  guest: boolean;
  scopes: string[];
  /** Files were granted for reading alone. */
  read_only: boolean;
  expires: string;
  ticket: string;
  operator: string;
  /** Empty in one's own session; else how one joined. */
  mode: "" | "observer" | "peer";
  words: string[];
}

export const SCOPES: Record<string, string> = {
  view: "see what runs there",
  terminal: "type commands there",
  files: "read and write files there",
  forward: "reach other machines through it",
  screen: "see the screen",
  control: "use mouse and keyboard",
  clipboard: "share the clipboard",
  desktop: "reach its own remote desktop",
};

/** What a session is asked for with, as it is sent to `session-open` or `session-widen`. */
export interface Wish {
  scopes: string;
  forward_to: string[];
  read_only?: boolean;
  minutes?: number;
  reason: string;
}

/** The lines of the question before it is signed: all that is sent, and what the scopes mean. */
export function wishFacts(wish: Wish): [string, string][] {
  const scopes = wish.scopes.split(",");
  const files = wish.read_only ? "read, never written" : "read and written";
  return [
    ["Scopes", scopes.join(", ")],
    ["That is to", scopes.map((scope) => SCOPES[scope] ?? scope).join("; ")],
    ["Forward to", wish.forward_to.join(", ") || "nothing"],
    ...(scopes.includes("files") && wish.read_only !== undefined ? ([["Files", files]] as [string, string][]) : []),
    ...(wish.minutes === undefined ? [] : ([["Minutes", String(wish.minutes)]] as [string, string][])),
    ["Reason", wish.reason || "none"],
  ];
}

interface State {
  words: string;
  tone: "plain" | "good" | "warn" | "bad" | "info";
  hint: string;
}
const STATES: Record<string, State> = {
  waiting: { words: "waits for approvals", tone: "warn", hint: "Others have to sign before the device is asked." },
  pairing: { words: "pairing", tone: "info", hint: "The code is being checked at both ends." },
  asked: { words: "asks the person", tone: "info", hint: "The person at the device decides." },
  active: { words: "active", tone: "good", hint: "" },
  refused: { words: "refused", tone: "bad", hint: "It was not allowed, or nobody answered." },
  ended: { words: "over", tone: "plain", hint: "" },
};

export const sessionState = (one: Schemas["Session"]): State =>
  STATES[one.state] ?? { words: one.state, tone: "plain", hint: "" };

const ENDS: Record<string, string> = {
  closed: "the technician closed it",
  operator: "the technician closed it",
  admin: "an admin ended it",
  "ended-by-admin": "an admin ended it",
  "ended-by-operator": "it was closed from a console",
  stopped: "the person at the device stopped it",
  expired: "its time was over",
  shutdown: "the device's agent ended it",
  interrupted: "the device's agent was interrupted and did not come back in time",
  "operator-removed": "its operator is no longer on the roster",
  "ended-by-relay": "the relay ended it",
  "device-retired": "the device was retired",
  "consent-refused": "the person said no",
  "consent-timeout": "nobody answered",
};

export const endWords = (reason: string): string => ENDS[reason] ?? (foreign(reason, 100) || "not known");

// The steps of a ticket that need a word or two: what each asks for, and when it makes sense.

import { isEnded, LANGUAGES, WAITING_FOR, type Ticket } from "./desk";

export interface StepField {
  name: string;
  label: string;
  kind: "line" | "long" | "choice" | "moment";
  choices?: readonly string[];
  hint?: string;
  required?: boolean;
}

export interface Step {
  /** Also the route's last word. */
  verb: string;
  title: string;
  button: string;
  done: string;
  danger?: boolean;
  fields: StepField[];
  isPossible: (ticket: Ticket) => boolean;
}

/** The relay's action that a step is. */
export function needsOf(verb: string): string {
  if (verb === "resolve" || verb === "close") return "ticket.resolve";
  return verb === "reopen" ? "ticket.reopen" : "ticket.work";
}

const isOpen = (ticket: Ticket): boolean => !isEnded(ticket);

export const STEPS: Step[] = [
  {
    verb: "resolve",
    title: "Resolve",
    button: "Resolve",
    done: "Resolved",
    fields: [
      { name: "note", label: "What solved it", kind: "long", hint: "Only the desk reads this; answer the requester with a reply.", required: true },
      { name: "skip", label: "Do not ask how it went, because", kind: "line", hint: "Empty: the requester is asked as usual." },
    ],
    isPossible: isOpen,
  },
  {
    verb: "wait",
    title: "Wait",
    button: "Let it wait",
    done: "It waits",
    fields: [
      { name: "reason", label: "For what", kind: "choice", choices: WAITING_FOR, required: true },
      { name: "until", label: "Until", kind: "moment", hint: "It comes back by itself then." },
      { name: "note", label: "Note", kind: "long" },
    ],
    isPossible: isOpen,
  },
  {
    verb: "resume",
    title: "Go on",
    button: "Go on",
    done: "It is open again",
    fields: [{ name: "note", label: "Note", kind: "long" }],
    isPossible: (ticket) => ticket.state === "waiting",
  },
  {
    verb: "reopen",
    title: "Reopen",
    button: "Reopen",
    done: "It is open again",
    fields: [{ name: "reason", label: "Why", kind: "line", required: true }],
    isPossible: (ticket) => ["resolved", "closed", "spam"].includes(ticket.state),
  },
  {
    verb: "close",
    title: "Close for good",
    button: "Close",
    done: "Closed",
    fields: [],
    isPossible: (ticket) => ticket.state === "resolved",
  },
  {
    verb: "merge",
    title: "Merge into another ticket",
    button: "Merge",
    done: "Merged",
    fields: [{ name: "into", label: "Into which ticket", kind: "line", hint: "Its number, such as FH-7.", required: true }],
    isPossible: isOpen,
  },
  {
    verb: "unmerge",
    title: "Take out of the other ticket",
    button: "Unmerge",
    done: "It stands alone again",
    fields: [],
    isPossible: (ticket) => ticket.state === "merged",
  },
  {
    verb: "instructions",
    title: "Ask the requester to take steps",
    button: "Send",
    done: "The steps are sent",
    fields: [
      { name: "steps", label: "Steps, one on each line", kind: "long", hint: "Each is answered with done, or why it cannot be.", required: true },
      { name: "language", label: "Language", kind: "choice", choices: LANGUAGES.map(([code]) => code), required: true },
    ],
    isPossible: isOpen,
  },
  {
    verb: "spam",
    title: "Put away as spam",
    button: "It is spam",
    done: "Put away",
    danger: true,
    fields: [{ name: "reason", label: "Why", kind: "line", required: true }],
    isPossible: (ticket) => ticket.state === "new" || ticket.state === "open" || ticket.state === "waiting",
  },
];

export const stepOf = (verb: string): Step | undefined => STEPS.find((one) => one.verb === verb);

/** What the route is sent; `skip` of a resolution goes elsewhere. */
export function bodyOf(step: Step, values: Record<string, string>): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  for (const field of step.fields) {
    const value = (values[field.name] ?? "").trim();
    if (field.name === "skip") continue;
    if (field.name === "steps") body["steps"] = value.split("\n").map((one) => one.trim()).filter(Boolean);
    else if (field.kind === "moment") body[field.name] = value ? new Date(value).toISOString() : null;
    else body[field.name] = value;
  }
  return body;
}

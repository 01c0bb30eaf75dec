// The states of an article, and the steps between them as the relay has them.

import type { Schemas } from "../../lib/relay";
import type { Tone } from "../ticket/desk";

type State = Schemas["Article"]["state"];

export const STATES: State[] = ["draft", "review", "published", "archived"];
export const VISIBILITIES: Schemas["Article"]["visibility"][] = ["public", "customers", "internal"];

export const STEPS_OF: Record<State, [Schemas["NewStep"]["step"], string][]> = {
  draft: [
    ["submit", "Ask for review"],
    ["publish", "Publish"],
    ["archive", "Archive"],
  ],
  review: [
    ["publish", "Publish"],
    ["withdraw", "Back to draft"],
    ["archive", "Archive"],
  ],
  published: [
    ["publish", "Publish the newest words"],
    ["withdraw", "Withdraw"],
    ["archive", "Archive"],
  ],
  archived: [["restore", "Restore"]],
};

export const articleTone = (state: string): Tone =>
  state === "published" ? "good" : state === "review" ? "info" : state === "draft" ? "warn" : "plain";

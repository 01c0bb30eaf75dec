// Who works here: the relay's word for the account, read once.

import type { Schemas } from "./relay";
import { get, local } from "./relay";
import { asProblem } from "./problems";
import { takeUpTheme } from "./theme.svelte";
import { takeUp } from "./work.svelte";

export interface Here {
  account: string;
  organisation: string;
  relay: string;
}

export const me = $state<{ here: Here | null; account: Schemas["Me"] | null }>({
  here: null,
  account: null,
});

const AWAY = new Set(["relay-unreachable", "relay-timeout", "relay-lost", "console-lost"]);
const AGAIN_MS = 5000;

/** Swap the link's token for the cookie where there is one, then learn who works here. */
export async function enter(): Promise<void> {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
    await local("/enter", { token });
  }
  const here = await local<Here>("/me");
  await takeUp();
  takeUpTheme();
  me.here = here;
  // Without the relay the shell stands and says so; who it is comes when the relay is back.
  for (;;) {
    try {
      me.account = await get<Schemas["Me"]>("/me");
      return;
    } catch (error) {
      if (!AWAY.has(asProblem(error).code)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

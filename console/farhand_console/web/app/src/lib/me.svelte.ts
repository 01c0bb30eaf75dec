// Who works here: the relay's word for the account, read once.

import type { Schemas } from "./relay";
import { get, local } from "./relay";
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

/** Swap the link's token for the cookie where there is one, then learn who works here. */
export async function enter(): Promise<void> {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
    await local("/enter", { token });
  }
  const here = await local<Here>("/me");
  takeUp(here.relay, here.account);
  me.here = here;
  me.account = await get<Schemas["Me"]>("/me");
}

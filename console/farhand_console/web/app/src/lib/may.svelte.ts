// What this account may do at the relay, as it says of itself (`/me`): nothing else is offered.
//
// It is the first lock only and hides nothing: the relay refuses by itself, and the device again.

import { me } from "./me.svelte";

/** Whether an action of the relay (`ticket.reply`), or a part of one (`session.open`, `files`), is
 *  allowed; nothing is before the relay has said so. */
export function may(action: string, part = ""): boolean {
  const said = me.account;
  if (!said?.may.includes(action)) return false;
  return !part || !said.barred.includes(`${action}:${part}`);
}

/** Why it is not offered; empty where it is. */
export function mayNot(action: string, part = ""): string {
  if (may(action, part)) return "";
  const said = me.account;
  if (!said) return "The relay has not said yet what you may do";
  return said.may.includes(action) ? `Your tier may not do this (${action}: ${part})` : `Your role, ${said.account.role}, may not do this (${action})`;
}

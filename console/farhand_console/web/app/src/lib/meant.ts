// Which device an id or a name means, as this machine verifies it; what is then sent is the id.
//
// The relay's word alone puts no name beside a device for which something is signed.

import { act } from "./acts.svelte";

interface Shown {
  id: string;
  name: string;
  confirmed: boolean;
  reason: string | null;
}

export interface Meant {
  id: string;
  /** `reception (d-…)`; where the name is not verified, the id first. */
  words: string;
}

export async function meant(asked: string): Promise<Meant> {
  const { id, name, confirmed, reason } = await act<Shown>("device-show", { device: asked });
  const words = confirmed ? `${name} (${id})` : `${id}, not verified (${reason ?? "unknown"}); the relay calls it ${name}`;
  return { id, words };
}

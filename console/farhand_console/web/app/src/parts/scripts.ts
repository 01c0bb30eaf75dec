// What the commands say about scripts; read from the verified targets by the command, not by the page.

import { act } from "../lib/acts.svelte";

export interface ScriptLine {
  id: string;
  version: number;
  state: string;
  risk: string;
  digest: string;
  title: string;
  author: string;
}

export interface Manifest {
  id: string;
  version: number;
  title: string;
  description: string;
  platforms: string[];
  interpreter: string;
  run_as: string;
  risk: string;
  timeout_s: number;
  max_output_bytes: number;
  sensitive: boolean;
  size_bytes: number;
  detect: string | null;
  verify: string | null;
  created_at: string;
  expires: string;
  parameters: Record<string, unknown>;
  limits: Record<string, unknown>;
}

export interface ScriptShown extends ScriptLine {
  description: string;
  /** Names of those who approved it. */
  approvals: string[];
  needed: number;
  expires: string;
  deprecated: string | null;
  revoked: string | null;
  parameters: Record<string, unknown>;
  manifest: Manifest;
  body: string;
}

export interface RunResult {
  order: string;
  device: string;
  state: string;
  exit_code: number | null;
  refusal: string | null;
  stdout?: string;
  stderr?: string;
  signed?: boolean;
}

const KEPT_MS = 30_000;
let kept: { at: number; lines: Promise<ScriptLine[]> } | null = null;

/** What may run: published, the newest version of each; kept for half a minute. */
export function catalogue(): Promise<ScriptLine[]> {
  if (kept && Date.now() - kept.at < KEPT_MS) return kept.lines;
  const lines = everyScript().then((all) => {
    const newest = new Map<string, ScriptLine>();
    for (const one of all) {
      const known = newest.get(one.id);
      const runs = one.state === "published" || one.state === "deprecated";
      if (runs && (!known || known.version < one.version)) newest.set(one.id, one);
    }
    return [...newest.values()].sort((a, b) => a.id.localeCompare(b.id));
  });
  kept = { at: Date.now(), lines };
  lines.catch(() => (kept = null));
  return lines;
}

/** Every version, published or handed in. */
export async function everyScript(): Promise<ScriptLine[]> {
  return (await act<{ items: ScriptLine[] }>("script-list", { limit: 500 })).items;
}

/** What a risk class is, in words. */
export const RISKS: Record<string, string> = {
  R0: "reads only",
  R1: "a change that is safe to repeat",
  R2: "a change",
  R3: "destroys or cannot be undone",
};

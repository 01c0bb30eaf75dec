// Short words about what just happened; problems stay until they are read.

import { asProblem, type Problem } from "./problems";

export interface Toast {
  id: number;
  words: string;
  problem: Problem | null;
}

export const toasts = $state<{ all: Toast[] }>({ all: [] });
let count = 0;
const STAYS_MS = 5000;
const MOST = 12;

function add(words: string, problem: Problem | null): void {
  const id = ++count;
  // Where there are many, words make room before problems do.
  const spare = toasts.all.length > MOST - 2 ? toasts.all.filter((one) => one.problem) : toasts.all;
  toasts.all = [...spare.slice(-(MOST - 1)), { id, words, problem }];
  if (!problem) setTimeout(() => dismiss(id), STAYS_MS);
}

export const dismiss = (id: number): void => {
  toasts.all = toasts.all.filter((one) => one.id !== id);
};

export const tell = (words: string): void => add(words, null);

export function fail(error: unknown): void {
  const problem = asProblem(error);
  if (problem.code !== "stopped" && problem.code !== "sign-refused") add(problem.message, problem);
}

/** Do something; a problem becomes a toast. Returns whether it worked. */
export async function attempt(work: () => Promise<unknown>, done = ""): Promise<boolean> {
  try {
    await work();
    if (done) tell(done);
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
}

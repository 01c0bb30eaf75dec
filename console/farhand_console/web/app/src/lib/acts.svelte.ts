// Acts: what only this machine does, each one `farhand` command (web/acts.py has the table).
//
//   act("session-end", {session})             runs at once
//   sign("Run check.disk.space on reception", "run", {...})
//                                             asks the person first; her key is used for just this

import { Problem, problemOf } from "./problems";
import { local } from "./relay";

export interface Telling {
  /** A line of words while it runs. */
  say?: (line: string) => void;
  /** Each JSON line that the command prints; `act` returns the last. */
  answer?: (value: unknown) => void;
  /** Aborting stops the command as Ctrl-C would. */
  signal?: AbortSignal;
}

interface Message {
  say?: string;
  answer?: unknown;
  end?: number;
  error?: unknown;
}

export function socketUrl(path: string): string {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

function run<T>(
  name: string,
  values: Record<string, unknown>,
  telling: Telling,
  more: { confirmed?: boolean; passphrase?: string | null },
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const socket = new WebSocket(socketUrl("/local/act"));
    let last: unknown = null;
    let isOver = false;
    const over = (finish: () => void): void => {
      if (isOver) return;
      isOver = true;
      telling.signal?.removeEventListener("abort", stopped);
      finish();
      socket.close();
    };
    const stopped = (): void => over(() => reject(new Problem("stopped", "stopped")));
    telling.signal?.addEventListener("abort", stopped);
    socket.onopen = () => socket.send(JSON.stringify({ act: name, values, ...more }));
    socket.onmessage = (event: MessageEvent<string>) => {
      const message = JSON.parse(event.data) as Message;
      if (message.say !== undefined) telling.say?.(message.say);
      if ("answer" in message) {
        last = message.answer;
        telling.answer?.(last);
      }
      const { end } = message;
      if (end === undefined) return;
      if (end === 0) over(() => resolve(last as T));
      else {
        const told = problemOf(message.error);
        over(() => reject(new Problem(told.code, told.message, told.hint, end)));
      }
    };
    socket.onclose = () =>
      over(() => reject(new Problem("console-lost", "farhand web does not answer")));
  });
}

/** Run an act that needs no key; returns the last JSON that it printed. */
export function act<T>(
  name: string,
  values: Record<string, unknown> = {},
  telling: Telling = {},
): Promise<T> {
  return run<T>(name, values, telling, {});
}

export type KeyKind = "missing" | "plain" | "passphrase" | "ssh-agent";

export interface Asked {
  /** What will be signed, in words. */
  title: string;
  facts: [string, string][];
  kind: KeyKind;
  /** Why the last try failed. */
  trouble: string;
  answer: (given: { passphrase: string | null } | null) => void;
}

type Given = { passphrase: string | null } | null;

/** What SignDialog shows; null while nothing is asked. */
export const signing = $state<{ asked: Asked | null }>({ asked: null });
let before: Promise<unknown> = Promise.resolve();

/** Ask for one signature. Each question waits until the one before it is answered: none is put in
 *  the place of another that is being read. */
function ask(title: string, facts: [string, string][], kind: KeyKind, trouble: string): Promise<Given> {
  let isAnswered = false;
  const put = (): Promise<Given> =>
    new Promise((resolve) => {
      signing.asked = {
        title,
        facts,
        kind,
        trouble,
        answer: (given) => {
          if (isAnswered) return;
          isAnswered = true;
          signing.asked = null;
          resolve(given);
        },
      };
    });
  const turn = before.then(put);
  before = turn;
  return turn;
}

/** Ask for the operator's key for one act, then run it.
 *
 *  title   what is about to be signed, in a sentence
 *  facts   [name, value] pairs that the person reads before she agrees
 *
 *  Throws a Problem `sign-refused` when she does not agree. */
export async function sign<T>(
  title: string,
  name: string,
  values: Record<string, unknown>,
  facts: [string, string][] = [],
  telling: Telling = {},
): Promise<T> {
  const { kind } = await local<{ kind: KeyKind }>("/key");
  let trouble = "";
  for (;;) {
    const given = await ask(title, facts, kind, trouble);
    if (given === null) throw new Problem("sign-refused", "nothing was signed");
    try {
      return await run<T>(name, values, telling, { confirmed: true, ...given });
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "key-passphrase") throw error;
      trouble = error.message;
    }
  }
}

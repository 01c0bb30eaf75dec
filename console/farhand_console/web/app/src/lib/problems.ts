// What went wrong, as the relay, the backend and every command say it: a stable code, words, a hint.

export class Problem extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly hint: string | null = null,
    readonly exit: number = 1,
  ) {
    super(message);
    this.name = "Problem";
  }
}

interface Body {
  code?: unknown;
  detail?: unknown;
  message?: unknown;
  hint?: unknown;
}

const text = (value: unknown, most: number): string =>
  typeof value === "string" ? value.slice(0, most) : "";

/** The problem that an answer's body tells; whatever it is, there is something to show. */
export function problemOf(body: unknown, status = 0): Problem {
  const told: Body = typeof body === "object" && body !== null ? body : {};
  const code = text(told.code, 64) || (status ? `http-${status}` : "unknown");
  const words = text(told.detail, 2000) || text(told.message, 2000) || "something went wrong";
  return new Problem(code, words, text(told.hint, 2000) || null);
}

/** Any thrown thing as a problem. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem("page-error", error instanceof Error ? error.message : String(error));
}

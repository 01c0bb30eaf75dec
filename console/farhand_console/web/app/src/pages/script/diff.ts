// What differs between two texts, line by line (E. Myers, "An O(ND) Difference Algorithm", 1986).

export interface Line {
  kind: "same" | "old" | "new";
  text: string;
  /** Line numbers from 1; null on the side where there is no such line. */
  before: number | null;
  after: number | null;
}

// Beyond so many differing lines the whole of both is shown: nobody reads such a difference.
const MOST_STEPS = 1500;

/** Every line of both texts, in the order in which a reader goes through the change. */
export function difference(before: string, after: string): Line[] {
  const a = before.split("\n");
  const b = after.split("\n");
  const trace = shortest(a, b);
  if (!trace) {
    return [
      ...a.map((text, n): Line => ({ kind: "old", text, before: n + 1, after: null })),
      ...b.map((text, n): Line => ({ kind: "new", text, before: null, after: n + 1 })),
    ];
  }
  return walked(trace, a, b);
}

/** The furthest reaching points of each number of steps, up to the end; null past the bound. */
function shortest(a: string[], b: string[]): Map<number, number>[] | null {
  const trace: Map<number, number>[] = [];
  let reached = new Map<number, number>([[1, 0]]);
  const most = Math.min(a.length + b.length, MOST_STEPS);
  for (let steps = 0; steps <= most; steps += 1) {
    trace.push(new Map(reached));
    const next = new Map(reached);
    for (let k = -steps; k <= steps; k += 2) {
      const down = next.get(k + 1) ?? -1;
      const right = next.get(k - 1) ?? -1;
      let x = k === -steps || (k !== steps && right < down) ? down : right + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) {
        x += 1;
        y += 1;
      }
      next.set(k, x);
      if (x >= a.length && y >= b.length) return trace;
    }
    reached = next;
  }
  return null;
}

/** The way back from the end, turned around. */
function walked(trace: Map<number, number>[], a: string[], b: string[]): Line[] {
  const lines: Line[] = [];
  let x = a.length;
  let y = b.length;
  for (let steps = trace.length - 1; steps >= 0; steps -= 1) {
    const reached = trace[steps] ?? new Map<number, number>();
    const k = x - y;
    const down = reached.get(k + 1) ?? -1;
    const right = reached.get(k - 1) ?? -1;
    const from = k === -steps || (k !== steps && right < down) ? k + 1 : k - 1;
    const fromX = steps === 0 ? 0 : (reached.get(from) ?? 0);
    const fromY = steps === 0 ? 0 : fromX - from;
    while (x > fromX && y > fromY) {
      lines.push({ kind: "same", text: a[x - 1] ?? "", before: x, after: y });
      x -= 1;
      y -= 1;
    }
    if (steps === 0) break;
    if (x === fromX) lines.push({ kind: "new", text: b[y - 1] ?? "", before: null, after: y });
    else lines.push({ kind: "old", text: a[x - 1] ?? "", before: x, after: null });
    x = fromX;
    y = fromY;
  }
  return lines.reverse();
}

/** Only what changed, with so many lines around it; null stands for a gap. */
export function hunks(lines: Line[], around = 3): (Line | null)[] {
  const near = new Set<number>();
  for (const [n, line] of lines.entries()) {
    if (line.kind === "same") continue;
    for (let at = n - around; at <= n + around; at += 1) near.add(at);
  }
  const shown: (Line | null)[] = [];
  for (const [n, line] of lines.entries()) {
    if (near.has(n)) shown.push(line);
    else if (shown.at(-1) !== null) shown.push(null);
  }
  return near.size ? shown : [];
}

/** What differs between two manifests, as [field, before, after]; `but` are not looked at. */
export function fieldsChanged(before: object, after: object, but: string[]): [string, string, string][] {
  const [a, b] = [Object.entries(before), Object.entries(after)].map((fields) => new Map<string, unknown>(fields));
  const names = [...new Set([...(a?.keys() ?? []), ...(b?.keys() ?? [])])].filter((name) => !but.includes(name));
  const said = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value) ?? "–");
  return names
    .map((name): [string, string, string] => [name, said(a?.get(name)), said(b?.get(name))])
    .filter(([, old, now]) => old !== now);
}

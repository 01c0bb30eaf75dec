// Two people at one form: what the other changes meanwhile is taken over where it was left alone here.

export type Values = Record<string, string>;

/** What a form holds after what it stands on went from `base` to `now`.
 *
 *  Returns the values, and the names of those that both have changed: there, mine stay. */
export function merged(base: Values, now: Values, mine: Values): { values: Values; both: string[] } {
  const values = { ...mine };
  const both: string[] = [];
  for (const [name, theirs] of Object.entries(now)) {
    if (theirs === base[name] || theirs === mine[name]) continue;
    if (mine[name] === base[name]) values[name] = theirs;
    else both.push(name);
  }
  return { values, both };
}

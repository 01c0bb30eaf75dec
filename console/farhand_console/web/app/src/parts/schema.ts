// A script's parameters as a form knows them: its JSON Schema is a closed object of flat values
// (protocol/parameters.py). The command checks them again; this only says early what is wrong.

export type Kind = "string" | "integer" | "number" | "boolean";

export interface Rule {
  name: string;
  kind: Kind;
  description: string;
  isRequired: boolean;
  fallback: unknown;
  choices: (string | number)[] | null;
  pattern: string;
  least: number | null;
  most: number | null;
  minLength: number | null;
  maxLength: number;
}

/** What was typed, by name; empty stands for what is not given. */
export type Values = Record<string, string | boolean>;

const MOST_CHARS = 1024;
const MOST_RULES = 32;

type Raw = Record<string, unknown>;

const isObject = (value: unknown): value is Raw =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const numberOf = (value: unknown): number | null => (typeof value === "number" ? value : null);

/** The rules of a schema, those that must be given first. */
export function rulesOf(schema: unknown): Rule[] {
  const properties = isObject(schema) && isObject(schema["properties"]) ? schema["properties"] : {};
  const given = isObject(schema) ? schema["required"] : null;
  const required = new Set(Array.isArray(given) ? given : []);
  const rules = Object.entries(properties).flatMap(([name, one]): Rule[] => {
    if (!isObject(one)) return [];
    const kind = one["type"];
    if (kind !== "string" && kind !== "integer" && kind !== "number" && kind !== "boolean") return [];
    const choices = one["enum"];
    return [
      {
        name,
        kind,
        description: typeof one["description"] === "string" ? one["description"] : "",
        isRequired: required.has(name),
        fallback: one["default"],
        choices: Array.isArray(choices) ? [...new Set(choices as (string | number)[])] : null,
        pattern: typeof one["pattern"] === "string" ? one["pattern"] : "",
        least: numberOf(one["minimum"]),
        most: numberOf(one["maximum"]),
        minLength: numberOf(one["minLength"]),
        maxLength: Math.min(numberOf(one["maxLength"]) ?? MOST_CHARS, MOST_CHARS),
      },
    ];
  });
  rules.sort((a, b) => Number(b.isRequired) - Number(a.isRequired));
  return rules.slice(0, MOST_RULES);
}

/** What is wrong with one value, in words; empty where nothing is. */
export function wrongWith(rule: Rule, value: string | boolean | undefined): string {
  if (value === undefined || value === "") return rule.isRequired ? "needed" : "";
  if (typeof value === "boolean") return "";
  if (rule.kind === "integer" || rule.kind === "number") return wrongNumber(rule, value);
  if (rule.choices) return "";
  if (value.startsWith("-")) return "cannot begin with a hyphen";
  if ([...value].length > rule.maxLength) return `${rule.maxLength} characters at most`;
  if (rule.minLength !== null && [...value].length < rule.minLength) {
    return `${rule.minLength} characters at least`;
  }
  return fits(rule.pattern, value) ? "" : `does not fit ${rule.pattern}`;
}

function wrongNumber(rule: Rule, text: string): string {
  const value = Number(text);
  if (!Number.isFinite(value)) return "is no number";
  if (rule.kind === "integer" && !Number.isSafeInteger(value)) return "must be a whole number";
  if (rule.least !== null && value < rule.least) return `${rule.least} at least`;
  if (rule.most !== null && value > rule.most) return `${rule.most} at most`;
  return "";
}

/** A pattern of another language's dialect that this one cannot read is left to the command. */
function fits(pattern: string, value: string): boolean {
  if (!pattern) return true;
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true;
  }
}

/** Whether all of it may be sent. */
export const isWhole = (schema: unknown, values: Values): boolean =>
  rulesOf(schema).every((rule) => wrongWith(rule, values[rule.name]) === "");

/** The values as an act's `param` takes them; what is not given is left to its default. */
export function pairsOf(schema: unknown, values: Values): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const { name, kind } of rulesOf(schema)) {
    const value = values[name];
    if (value === undefined || value === "") continue;
    const isNumber = kind === "integer" || kind === "number";
    pairs[name] = isNumber ? String(Number(value)) : String(value);
  }
  return pairs;
}

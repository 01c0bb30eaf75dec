// A draft's manifest as `farhand script lint` and `submit` read it from manifest.toml.

type Plain = Record<string, unknown>;

// What submitting fills in itself.
const MADE = ["tenant", "author", "sha256", "size_bytes", "created_at", "expires"];

/** TOML of flat fields and inline tables; what is null or undefined is left out. */
export function manifestToml(fields: Plain): string {
  return Object.entries(fields)
    .filter(([name, value]) => !MADE.includes(name) && value !== null && value !== undefined)
    .map(([name, value]) => `${name} = ${written(value)}\n`)
    .join("");
}

function written(value: unknown): string {
  if (typeof value === "string") return quoted(value);
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const pairs = Object.entries(value)
      .filter(([, one]) => one !== null && one !== undefined)
      .map(([name, one]) => `${quoted(name)} = ${written(one)}`);
    return `{${pairs.join(", ")}}`;
  }
  throw new TypeError("TOML has no such value");
}

/** A basic string; JSON's escapes are TOML's, but for DEL. */
const quoted = (text: string): string => JSON.stringify(text).replaceAll("\u007f", "\\u007f");

export const BODY_NAMES: Record<string, string> = {
  python: "script.py",
  sh: "script.sh",
  powershell: "script.ps1",
};

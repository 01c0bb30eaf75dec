// Markdown as a structure of blocks, never as markup: what Markdown.svelte draws.
//
// Headings, paragraphs, lists, quotes, code and rules; within a line emphasis, code, links and
// pictures. What is not understood stays as it was typed. Every step moves forward in the text, so
// that no input takes longer than its length times a constant.

export type Inline =
  | { what: "text" | "strong" | "em" | "code"; text: string }
  | { what: "link"; text: string; to: string }
  | { what: "picture"; text: string; to: string };

export type Block =
  | { what: "heading"; level: number; text: Inline[] }
  | { what: "paragraph"; text: Inline[] }
  | { what: "list"; isOrdered: boolean; items: Inline[][] }
  | { what: "quote"; text: Inline[] }
  | { what: "code"; text: string }
  | { what: "rule" };

const MOST_CHARS = 200_000;
const MOST_INLINE_CHARS = 20_000;
const HEADING = /^(#{1,6}) +(.*?)(?: +#+)?$/;
const ITEM = /^ {0,3}(?:([-*+])|(\d{1,9})[.)]) +(.*)$/;
const RULE = /^ {0,3}(?:-{3,}|\*{3,}|_{3,}) *$/;
const FENCE = /^ {0,3}(```|~~~)/;
// No two parts of it match the same text, and each is bounded: it cannot run away.
const INLINE =
  /`([^`\n]{1,500})`|\*\*([^*\n]{1,500})\*\*|\*([^*\n]{1,500})\*|(?<![\w])_([^_\n]{1,500})_(?![\w])|(!?)\[([^[\]\n]{0,300})\]\(([^()\s]{1,1000})\)/g;

/** The blocks of a text. */
export function blocks(source: string): Block[] {
  const lines = source.slice(0, MOST_CHARS).replace(/\r\n?/g, "\n").split("\n");
  const made: Block[] = [];
  let n = 0;
  const line = (at: number): string => lines[at] ?? "";
  while (n < lines.length) {
    const now = line(n);
    const heading = HEADING.exec(now);
    if (!now.trim()) n += 1;
    else if (FENCE.test(now)) {
      const fence = (FENCE.exec(now)?.[1] ?? "```").trim();
      const from = ++n;
      while (n < lines.length && !line(n).trimStart().startsWith(fence)) n += 1;
      made.push({ what: "code", text: lines.slice(from, n).join("\n") });
      n += 1;
    } else if (heading) {
      made.push({ what: "heading", level: heading[1]?.length ?? 1, text: inline(heading[2] ?? "") });
      n += 1;
    } else if (RULE.test(now)) {
      made.push({ what: "rule" });
      n += 1;
    } else if (now.trimStart().startsWith(">")) {
      const from = n;
      while (n < lines.length && line(n).trimStart().startsWith(">")) n += 1;
      const words = lines.slice(from, n).map((one) => one.trimStart().replace(/^> ?/, ""));
      made.push({ what: "quote", text: inline(words.join("\n")) });
    } else if (ITEM.test(now)) {
      const isOrdered = ITEM.exec(now)?.[2] !== undefined;
      const items: string[] = [];
      while (n < lines.length) {
        const item = ITEM.exec(line(n));
        if (item && (item[2] !== undefined) === isOrdered) items.push(item[3] ?? "");
        else if (!item && /^ {2,}\S/.test(line(n)) && items.length) items[items.length - 1] += `\n${line(n).trim()}`;
        else break;
        n += 1;
      }
      made.push({ what: "list", isOrdered, items: items.map(inline) });
    } else {
      const from = n++;
      while (n < lines.length && isParagraph(line(n))) n += 1;
      made.push({ what: "paragraph", text: inline(lines.slice(from, n).map((one) => one.trim()).join("\n")) });
    }
  }
  return made;
}

const isParagraph = (line: string): boolean =>
  line.trim() !== "" && !HEADING.test(line) && !FENCE.test(line) && !RULE.test(line) && !ITEM.test(line) && !line.trimStart().startsWith(">");

/** What stands in a line. */
export function inline(text: string): Inline[] {
  if (text.length > MOST_INLINE_CHARS) return [{ what: "text", text }];
  const made: Inline[] = [];
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    if (found.index > at) made.push({ what: "text", text: text.slice(at, found.index) });
    const [whole, code, strong, em, em2, mark, words, to] = found;
    if (code !== undefined) made.push({ what: "code", text: code });
    else if (strong !== undefined) made.push({ what: "strong", text: strong });
    else if (em !== undefined || em2 !== undefined) made.push({ what: "em", text: em ?? em2 ?? "" });
    else made.push({ what: mark ? "picture" : "link", text: words ?? "", to: to ?? "" });
    at = found.index + whole.length;
  }
  if (at < text.length) made.push({ what: "text", text: text.slice(at) });
  return made;
}

/** Where a link of an article may lead; empty for everything that is not known to be harmless. */
export function destination(to: string): string {
  if (to.startsWith("article:")) {
    const slug = to.slice("article:".length);
    return /^[a-z0-9][a-z0-9-]{0,79}$/.test(slug) ? `/knowledge/${slug}` : "";
  }
  return /^(https?:\/\/|mailto:|tel:)/i.test(to) ? to : "";
}

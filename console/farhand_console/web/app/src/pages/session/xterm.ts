// A terminal as this page may have it: drawn by xterm, without what the page's policy forbids.
//
// What it would write into <style> elements goes into sheets (vite.config.ts, sheets.ts). What a program
// prints can draw and nothing else: links and the clipboard (OSC 8, OSC 52) are swallowed.

import type { FitAddon } from "@xterm/addon-fit";
import type { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";

export interface Screen {
  term: Terminal;
  fit: FitAddon;
}

/** Make a terminal in a box; `readOnly` takes no keys. */
export async function openScreen(
  box: HTMLElement,
  { readOnly = false, columns, rows }: { readOnly?: boolean; columns?: number; rows?: number } = {},
): Promise<Screen> {
  const [{ Terminal: Made }, { FitAddon: Fit }] = await Promise.all([
    import("@xterm/xterm"),
    import("@xterm/addon-fit"),
  ]);
  const term = new Made({
    disableStdin: readOnly,
    cursorBlink: false,
    fontFamily: '"DejaVu Sans Mono", "Cascadia Mono", ui-monospace, monospace',
    fontSize: 14,
    scrollback: 5000,
    minimumContrastRatio: 4.5,
    theme: { background: "#10141a", foreground: "#e7ebf0", cursor: "#6fc6dc" },
    ...(columns ? { cols: columns } : {}),
    ...(rows ? { rows } : {}),
  });
  const fit = new Fit();
  term.loadAddon(fit);
  for (const code of [8, 52]) term.parser.registerOscHandler(code, () => true);
  term.open(box);
  return { term, fit };
}

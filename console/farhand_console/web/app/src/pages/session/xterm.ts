// A terminal as this page may have it: drawn by xterm, without what the page's policy forbids.
//
// What it would write into <style> elements goes into sheets (vite.config.ts, sheets.ts). What a program
// prints can draw and nothing else:
//
//   title (OSC 0, 1, 2), notices (9, 99, 777), folders and marks (7, 133, 633, 1337), bell: lead nowhere
//   colours (OSC 4, 10 to 12, 104, 110 to 112), links (8), the clipboard (52), settings (DCS $q): swallowed
//   reports of the window (CSI t): off
//   what the terminal is and where its cursor stands (DA, DSR, DECRQM): answered to the shell, as
//   programs need it; the answers are figures, and nothing of what was printed is in them
//
// What is pasted comes from anywhere: its control characters stay behind, so it cannot end the bracket
// that a shell reads it in, nor press a key.

import type { FitAddon } from "@xterm/addon-fit";
import type { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";

const SWALLOWED = [4, 8, 10, 11, 12, 52, 104, 110, 111, 112];
const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

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
  for (const code of SWALLOWED) term.parser.registerOscHandler(code, () => true);
  term.parser.registerDcsHandler({ intermediates: "$", final: "q" }, () => true);
  term.open(box);
  const pasted = (event: ClipboardEvent): void => {
    event.preventDefault();
    event.stopPropagation();
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (!readOnly) term.paste(text.replace(CONTROLS, ""));
  };
  // Before the terminal's own listener, which takes the text as it is.
  box.addEventListener("paste", pasted, { capture: true });
  return { term, fit };
}

// A terminal as this page may have it: drawn by xterm, without what the page's policy forbids.
//
// xterm writes its colours and sizes into <style> elements. Its document is therefore one whose
// style elements are sheets of the page instead. What a program prints can draw and nothing else:
// links and the clipboard (OSC 8, OSC 52) are swallowed.

import type { FitAddon } from "@xterm/addon-fit";
import type { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";

export interface Screen {
  term: Terminal;
  fit: FitAddon;
}

function sheetInstead(): HTMLElement {
  const element = document.createElement("span");
  const sheet = new CSSStyleSheet();
  element.hidden = true;
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  Object.defineProperty(element, "textContent", {
    get: () => "",
    set: (css: string) => sheet.replaceSync(css),
  });
  const remove = element.remove.bind(element);
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
    remove();
  };
  return element;
}

function styleless(): Document {
  return new Proxy(document, {
    get(target, name) {
      if (name === "createElement") {
        return (tag: string) => (tag === "style" ? sheetInstead() : target.createElement(tag));
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value as () => unknown).bind(target) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
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
    documentOverride: styleless(),
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

import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

// The backend while `npm run dev` serves the page: farhand web --listen 127.0.0.1:8440
const backend = "http://127.0.0.1:8440";

// A library writes this style into its markup, which the page's policy forbids; base.css has the class.
const contents: Plugin = {
  name: "display-contents",
  enforce: "pre",
  transform(code, id) {
    if (!id.includes("bits-ui") || !id.endsWith(".svelte")) return null;
    return code.replaceAll('style="display: contents;"', 'class="contents"');
  },
};

// So does the terminal: colours of programs as an attribute, and <style> elements, for which it gets
// sheets of the page (pages/session/sheets.ts).
const sheets = new URL("src/pages/session/sheets.ts", import.meta.url).pathname;
const terminal: Plugin = {
  name: "terminal-styles",
  enforce: "pre",
  transform(code, id) {
    if (!id.includes("@xterm/xterm/") || !id.endsWith("js")) return null;
    const written = /(\w+)\.setAttribute\("style",`\$\{\1\.getAttribute\("style"\)\|\|""\}\$\{(\w+)\};`\)/g;
    const patched = code
      .replace(written, "$1.style.cssText+=$2")
      .replace(/[\w.]+\.createElement\("style"\)/g, "sheetInstead()");
    return `import { sheetInstead } from ${JSON.stringify(sheets)};\n${patched}`;
  },
};

export default defineConfig({
  plugins: [contents, terminal, svelte()],
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    // Nothing becomes a data: address, so that the page's policy stays at "self".
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 400,
  },
  server: {
    proxy: {
      "/local": { target: backend, ws: true },
      "/relay": { target: backend },
    },
  },
});

// Every element that holds text of its own: inside the window, not cut off unless it says so with an
// ellipsis and a title, and not over another one's text. Evaluated on a page; returns lines.
() => {
  const faults = [];
  const say = (what, e) => faults.push(
    `${what}: <${e.tagName.toLowerCase()} class="${e.className}"> ${e.textContent.trim().slice(0, 60)}`);
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth + 1) {
    faults.push(`the page is ${root.scrollWidth} wide in a window of ${root.clientWidth}`);
  }
  const scrolls = (e) => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement) {
      const o = getComputedStyle(p);
      if (/auto|scroll|hidden|clip/.test(o.overflowX + o.overflowY)) return p;
    }
    return null;
  };
  // A link that goes over two lines lies only where these are, not in the box around both.
  const lines = (e) => [...e.getClientRects()];
  const meet = (x, y) =>
    Math.min(x.right, y.right) - Math.max(x.left, y.left) > 3 && Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top) > 4;
  const texts = [];
  for (const e of document.body.querySelectorAll("*")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest(".xterm, canvas, svg, .unseen, .skip, [hidden], script, style, option")) continue;
    const s = getComputedStyle(e);
    if (s.visibility === "hidden" || s.opacity === "0") continue;
    const r = e.getBoundingClientRect();
    if (r.width < 2 || r.height < 2) continue;
    const cut = e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && s.overflowX !== "visible";
    if (cut && s.textOverflow === "ellipsis") {
      const told = e.closest("[title]") || e.querySelector("[title]") || e.closest("a, td, [role=cell], [role=columnheader], button, option");
      if (!told) say("cut off, and the whole stands nowhere", e);
    } else if (cut && !/auto|scroll/.test(s.overflowX)) say("cut off", e);
    if (e.scrollHeight > e.clientHeight + 3 && e.clientHeight > 0 && s.overflowY === "hidden" && s.display !== "inline") say("cut off below", e);
    const box = scrolls(e);
    if (!box && (r.right > root.clientWidth + 1 || r.left < -1) && s.position !== "fixed") say("outside the window", e);
    texts.push([e, r, box]);
  }
  for (let i = 0; i < texts.length && faults.length < 40; i++) {
    for (let j = i + 1; j < texts.length; j++) {
      const [a, ra, ba] = texts[i], [b, rb, bb] = texts[j];
      if (ba !== bb || a.contains(b) || b.contains(a)) continue;
      const w = Math.min(ra.right, rb.right) - Math.max(ra.left, rb.left);
      const h = Math.min(ra.bottom, rb.bottom) - Math.max(ra.top, rb.top);
      if (w > 3 && h > 4 && lines(a).some((x) => lines(b).some((y) => meet(x, y)))) {
        const layer = (e) => !!e.closest("[role=dialog], .toasts, .popover, .rail, header, .head");
        if (layer(a) === layer(b)) say(`lies over "${b.textContent.trim().slice(0, 40)}"`, a);
      }
    }
  }
  return faults.slice(0, 40);
}

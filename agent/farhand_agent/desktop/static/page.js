"use strict";
// What makes the page livelier; everything works without it.  Nothing foreign is made into markup
// here: what is new is a page of the same server, read by the browser's own parser.
(() => {
  const body = document.body;
  const base = body.dataset.base;
  let revision = Number(body.dataset.revision);
  let clocks = [];
  // A form that is on its way brings a page of its own; until then nothing is swapped below it.
  const FORM_MS = 10000;
  let sentUntil = 0;

  const rest = (time) => new Promise((resolve) => setTimeout(resolve, time));
  const minutes = (left) => `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;

  const wind = () => {
    const now = performance.now();
    clocks = [...document.querySelectorAll("[data-left]")].map((element) => ({
      element, until: now + 1000 * Number(element.dataset.left),
    }));
  };
  const tick = () => {
    const now = performance.now();
    for (const { element, until } of clocks) {
      element.textContent = minutes(Math.max(0, Math.round((until - now) / 1000)));
    }
  };

  const enliven = () => {
    wind();
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.hidden = !navigator.clipboard;
      button.onclick = async () => {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = button.dataset.done;
      };
    }
    for (const button of document.querySelectorAll("[data-read]")) {
      button.hidden = !window.speechSynthesis;
      button.onclick = () => {
        const words = new SpeechSynthesisUtterance(button.dataset.read);
        words.lang = document.documentElement.lang;
        window.speechSynthesis.speak(words);
      };
    }
    draw();
  };

  // A box is drawn on the picture and sent with the form, like one that was typed in.
  const draw = () => {
    const picture = document.getElementById("picture");
    if (!picture) return;
    const form = document.getElementById("box");
    const holder = picture.parentElement;
    let from = null;
    let box = null;
    const at = (event) => {
      const place = picture.getBoundingClientRect();
      return [event.clientX - place.left, event.clientY - place.top].map(Math.round);
    };
    picture.draggable = false;
    holder.style.position = "relative";
    picture.onpointerdown = (event) => {
      from = at(event);
      box = document.createElement("div");
      box.className = "drawn";
      holder.append(box);
      picture.setPointerCapture(event.pointerId);
      event.preventDefault();
    };
    const size = (event) => {
      const to = at(event);
      const [left, top] = [Math.min(from[0], to[0]), Math.min(from[1], to[1])];
      return [left, top, Math.abs(from[0] - to[0]), Math.abs(from[1] - to[1])];
    };
    picture.onpointermove = (event) => {
      if (!box) return;
      const [left, top, width, height] = size(event);
      Object.assign(box.style, {
        left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px`,
      });
    };
    picture.onpointerup = (event) => {
      if (!box) return;
      const [left, top, width, height] = size(event);
      box.remove();
      box = null;
      if (width < 2 || height < 2) return;
      const fields = { x: Math.max(0, left), y: Math.max(0, top), width, height };
      for (const [name, value] of Object.entries(fields)) form.elements[name].value = value;
      form.requestSubmit(form.querySelector("[value=box]"));
    };
  };

  // What was ticked or typed stays, where the same question stands on the new page.
  const name = (form) => [form.getAttribute("action"),
    ...[...form.querySelectorAll("input[type=hidden]")].map((one) => one.value)].join(" ");
  const carry = (here, there) => {
    for (const form of there.querySelectorAll("form")) {
      const before = [...here.querySelectorAll("form")].find((one) => name(one) === name(form));
      for (const field of before ? form.querySelectorAll("input, textarea") : []) {
        const isTick = field.type === "checkbox" || field.type === "radio";
        const old = [...before.querySelectorAll("input, textarea")].find((one) =>
          one.name === field.name && one.type === field.type &&
          (!isTick || one.value === field.value));
        if (!old) continue;
        if (isTick) field.checked = old.checked;
        else field.value = old.value;
      }
    }
  };

  const refresh = async () => {
    while (performance.now() < sentUntil) await rest(100);
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (answer.redirected || !answer.ok) {
      location.assign(answer.ok ? answer.url : base);
      return;
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (performance.now() < sentUntil) {
      await refresh();
      return;
    }
    const [here, there] = [document.querySelector("main"), fresh.querySelector("main")];
    if (here.dataset.key === there.dataset.key) {
      for (const live of here.querySelectorAll("[data-live]")) {
        const next = fresh.getElementById(live.id);
        if (next && next.innerHTML !== live.innerHTML) live.replaceChildren(...next.childNodes);
      }
    } else {
      carry(here, there);
      here.replaceWith(there);
      document.title = fresh.title;
      enliven();
      there.focus();
    }
  };

  const follow = async () => {
    for (;;) {
      try {
        const answer = await fetch(`${base}news?after=${revision}`, { credentials: "same-origin" });
        if (!answer.ok) return;
        const news = await answer.json();
        if (news.revision !== revision) {
          await refresh();
          // Not before: what could not be fetched is fetched again.
          revision = news.revision;
        }
      } catch {
        // The page's process is gone, or the computer slept: look again in a moment.
        await rest(2000);
      }
    }
  };

  document.addEventListener("submit", () => { sentUntil = performance.now() + FORM_MS; });
  window.addEventListener("pageshow", () => { sentUntil = 0; });
  enliven();
  setInterval(tick, 1000);
  follow();
})();

// Brings what was said since, as long as the page is open; without scripts it reloads itself.
"use strict";

const log = document.getElementById("log");
const state = document.getElementById("state");
const OVER = new Set([401, 403, 404, 410]);
let last = Number(log.dataset.last);

function toTheEnd() {
  window.scrollTo(0, document.documentElement.scrollHeight);
}

async function look() {
  const address = new URL(window.location.href);
  address.search = new URLSearchParams({ after: String(last), wait: "20" }).toString();
  const answer = await fetch(address, { credentials: "same-origin", redirect: "manual" });
  // Led elsewhere: to the sign-in, because hers is over.
  if (answer.type === "opaqueredirect" || OVER.has(answer.status)) {
    state.textContent = state.dataset.over;
    return false;
  }
  if (!answer.ok) {
    state.textContent = state.dataset.down;
    return true;
  }
  // Parsed beside the page: nothing in it runs, and the relay has escaped what people wrote.
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const said = page.querySelectorAll("#log > section");
  for (const one of said) {
    if (Number(one.dataset.seq) > last) {
      log.append(document.importNode(one, true));
      last = Number(one.dataset.seq);
    }
  }
  const now = page.getElementById("state").textContent;
  if (state.textContent !== now) {
    state.textContent = now;
  }
  if (said.length > 0) {
    toTheEnd();
  }
  return true;
}

async function follow() {
  for (;;) {
    try {
      if (!(await look())) {
        return;
      }
    } catch {
      // The line is down: asked again in a moment.
      state.textContent = state.dataset.down;
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

toTheEnd();
follow();

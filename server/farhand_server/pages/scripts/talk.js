// Brings what was said since, as long as the page is open; without scripts it reloads itself.
"use strict";

const log = document.getElementById("log");
const state = document.getElementById("state");
let last = Number(log.dataset.last);

function toTheEnd() {
  window.scrollTo(0, document.documentElement.scrollHeight);
}

async function look() {
  const address = new URL(window.location.href);
  address.search = new URLSearchParams({ after: String(last), wait: "20" }).toString();
  const answer = await fetch(address, { credentials: "same-origin", redirect: "error" });
  if (!answer.ok) {
    return answer.status >= 500 || answer.status === 429;
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
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

toTheEnd();
follow();

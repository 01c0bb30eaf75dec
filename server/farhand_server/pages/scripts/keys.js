// Asks a security key or passkey, and puts its answer into the form (W3C, Web Authentication).
"use strict";

const form = document.getElementById("key");
const trouble = document.getElementById("trouble");
const creates = form.dataset.verb === "create";

function bytes(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (one) => one.charCodeAt(0));
}

function text(buffer) {
  const plain = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function options() {
  const asked = JSON.parse(form.dataset.options);
  asked.challenge = bytes(asked.challenge);
  if (asked.user) {
    asked.user.id = bytes(asked.user.id);
  }
  for (const list of [asked.excludeCredentials, asked.allowCredentials]) {
    for (const one of list ?? []) {
      one.id = bytes(one.id);
    }
  }
  return { publicKey: asked };
}

function written(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) {
      response[name] = text(credential.response[name]);
    }
  }
  return JSON.stringify({
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    response,
    clientExtensionResults: {},
  });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  trouble.hidden = true;
  try {
    const asked = options();
    const made = creates
      ? await navigator.credentials.create(asked)
      : await navigator.credentials.get(asked);
    form.elements.credential.value = written(made);
  } catch {
    // Nobody touched it, it is not this one, or the browser has none.
    trouble.hidden = false;
    return;
  }
  form.submit();
});

form.hidden = false;

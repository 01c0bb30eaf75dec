// The time, for what shows how far something is away; one timer for the whole page.

export const now = $state({ ms: Date.now() });

setInterval(() => {
  if (!document.hidden) now.ms = Date.now();
}, 1000);

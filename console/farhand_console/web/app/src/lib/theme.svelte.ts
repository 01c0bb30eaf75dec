// Light, dark, or as the system is.

export type Theme = "system" | "light" | "dark";
const KEY = "farhand.theme";

const kept = localStorage.getItem(KEY);
export const theme = $state<{ now: Theme }>({
  now: kept === "light" || kept === "dark" ? kept : "system",
});

function apply(): void {
  document.documentElement.dataset["theme"] = theme.now;
}

export function setTheme(now: Theme): void {
  theme.now = now;
  localStorage.setItem(KEY, now);
  apply();
}

apply();

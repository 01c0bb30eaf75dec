// Every page of the console, with its address. Pages are loaded when they are first opened.

import type { Route } from "./lib/router.svelte";

export interface Area {
  name: string;
  path: string;
  /** Key after `g` that goes there. */
  key: string;
}

export const areas: Area[] = [
  { name: "Queue", path: "/queue", key: "q" },
  { name: "Devices", path: "/devices", key: "d" },
  { name: "Sessions", path: "/sessions", key: "s" },
  { name: "Campaigns", path: "/campaigns", key: "c" },
  { name: "Scripts", path: "/scripts", key: "p" },
  { name: "Knowledge", path: "/knowledge", key: "k" },
  { name: "Reports", path: "/reports", key: "r" },
  { name: "Admin", path: "/admin", key: "a" },
];

export const routes: Route[] = [
  { area: "/queue", path: "/queue", load: () => import("./pages/queue/Queue.svelte") },
  { area: "/queue", path: "/tickets/:ticket", load: () => import("./pages/ticket/Ticket.svelte") },
  { area: "/devices", path: "/devices", load: () => import("./pages/devices/Devices.svelte") },
  { area: "/devices", path: "/devices/:device", load: () => import("./pages/device/Device.svelte") },
  { area: "/sessions", path: "/sessions", load: () => import("./pages/sessions/Sessions.svelte") },
  { area: "/sessions", path: "/sessions/:session", load: () => import("./pages/session/Session.svelte") },
  { area: "/sessions", path: "/recordings/:session", load: () => import("./pages/recording/Recording.svelte") },
  { area: "/campaigns", path: "/campaigns", load: () => import("./pages/campaigns/Campaigns.svelte") },
  { area: "/campaigns", path: "/campaigns/:campaign", load: () => import("./pages/campaign/Campaign.svelte") },
  { area: "/scripts", path: "/scripts", load: () => import("./pages/scripts/Scripts.svelte") },
  { area: "/scripts", path: "/scripts/:script", load: () => import("./pages/script/Script.svelte") },
  { area: "/knowledge", path: "/knowledge", load: () => import("./pages/knowledge/Knowledge.svelte") },
  { area: "/knowledge", path: "/knowledge/:article", load: () => import("./pages/article/Article.svelte") },
  { area: "/reports", path: "/reports", load: () => import("./pages/reports/Reports.svelte") },
  { area: "/admin", path: "/admin", load: () => import("./pages/admin/Admin.svelte") },
];

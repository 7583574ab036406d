// Who is here: the people and the bot with its status.
import { byId, element, on } from "./dom.js";
import { page } from "./page.js";

const COLOURS = { starting: "offline", restarting: "offline", failed: "offline", loading: "idle", ready: "online" };

export function startMembers() {
  byId("preview-workspace").append(element("aside", { id: "pg-members", "aria-label": "Members" }));
  on("status", show);
  on("seat", show);
}

function show() {
  const list = byId("pg-members");
  const { status, place } = page;
  const wanted = JSON.stringify([status?.bot, status?.presence, place?.key]);
  if (!status || list.dataset.shown === wanted) return;
  list.dataset.shown = wanted;
  list.hidden = Boolean(place?.direct);
  const bot = status.places.find(({ direct }) => direct).name;
  const dot = COLOURS[status.bot];
  list.replaceChildren(
    element("h2", {}, "App"),
    row(bot, { offline: "offline", idle: "loading the model" }[dot] || (status.presence || "").replace(/^loading.*/, ""), dot),
    element("h2", {}, `Members — ${status.people.length}`),
    ...status.people.map(({ name, title }) => row(name, title, "online", name)),
  );
}

function row(name, text, dot, person) {
  return element(person ? "button" : "div", { class: "pg-member", type: person ? "button" : null, "data-member": person },
    element("span", { class: "pg-face" },
      element("img", { src: `/playground/${name}.png`, alt: "", width: 32, height: 32 }),
      element("span", { class: `pg-dot pg-${dot}` })),
    element("span", {}, element("strong", {}, name), text ? element("small", {}, text) : ""));
}

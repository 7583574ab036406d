// The list of channels, the switch between people, and the state of the bot.
import { byId, element, on } from "./dom.js";
import { page, takeSeat } from "./page.js";

const STATES = {
  starting: "The bot is starting…",
  loading: "The bot is loading its model…",
  ready: "The bot is ready.",
  restarting: "The bot is restarting…",
};

export function startSidebar() {
  const sidebar = element("nav", { id: "pg-sidebar", "aria-label": "Channels and people" },
    element("div", { class: "pg-server" }, "Playground"),
    element("div", { id: "pg-channels" }),
    element("div", { class: "pg-foot" },
      element("p", { id: "pg-bot-state", role: "status", "data-state": "starting" }, STATES.starting),
      element("div", { id: "pg-people", role: "group", "aria-label": "You are" },
        element("h2", {}, "You are"))));
  byId("preview-workspace").prepend(sidebar);
  byId("preview-workspace").append(element("button", {
    id: "pg-scrim", type: "button", "aria-label": "Close the list of channels", hidden: true, onclick: () => openDrawer(false),
  }));
  document.querySelector(".channel-header").prepend(element("button", {
    id: "pg-drawer", class: "pg-icon", type: "button", "aria-label": "Channels and people", "aria-controls": "pg-sidebar",
    "aria-expanded": "false", onclick: () => openDrawer(byId("pg-drawer").getAttribute("aria-expanded") !== "true"),
  }, "☰"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !byId("pg-scrim").hidden) openDrawer(false);
  });
  on("status", () => { create(); refresh(); });
  on("seat", () => { openDrawer(false, false); refresh(); });
  on("shown", refresh);
  followModals(sidebar);
}

function openDrawer(open, focus = true) {
  document.body.classList.toggle("pg-drawer-open", open);
  byId("pg-scrim").hidden = !open;
  byId("pg-drawer").setAttribute("aria-expanded", String(open));
  if (open) document.querySelector("#pg-channels [aria-current]")?.focus();
  else if (focus) byId("pg-drawer").focus();
}

/** Create the lists, once the server has told what there is. */
function create() {
  const channels = byId("pg-channels");
  if (channels.childElementCount) return;
  channels.append(element("h2", {}, "Text channels"), ...page.status.places.filter(({ direct }) => !direct).map(placeButton));
  channels.append(element("h2", {}, "Direct messages"), ...page.status.places.filter(({ direct }) => direct).map(placeButton));
  byId("pg-people").append(...page.status.people.map(personButton));
}

function placeButton(place) {
  const mark = place.direct
    ? element("img", { src: `/playground/${place.name}.png`, alt: "", width: 24, height: 24 })
    : element("span", { class: "pg-hash", "aria-hidden": "true" }, "#");
  return element("button", {
    type: "button", "data-place": place.key, onclick: () => takeSeat({ place }),
  }, mark, element("span", { class: "pg-name" }, place.name), element("span", { class: "pg-unread", role: "img", "aria-label": "New messages", hidden: true }));
}

function personButton(person) {
  return element("button", {
    type: "button", "data-person": person.name, onclick: () => takeSeat({ person }),
  },
  element("img", { src: `/playground/${person.name}.png`, alt: "", width: 32, height: 32 }),
  element("span", {}, element("strong", {}, person.name), element("small", {}, person.title)));
}

function refresh() {
  const { status, person, place } = page;
  if (!status) return;
  const state = byId("pg-bot-state");
  state.dataset.state = status.bot;
  const text = status.bot === "failed" ? `The bot could not start: ${status.failure}` : STATES[status.bot];
  if (state.textContent !== text) state.textContent = text;
  if (!person) return;
  for (const button of document.querySelectorAll("#pg-people [data-person]")) {
    button.setAttribute("aria-pressed", String(button.dataset.person === person.name));
  }
  const seen = JSON.parse(sessionStorage.getItem("pg-seen") || "{}");
  for (const button of document.querySelectorAll("#pg-channels [data-place]")) {
    const key = button.dataset.place;
    const newest = status.newest?.[key] || "0";
    const known = `${person.name}:${key}`;
    const current = key === place.key;
    if (current) seen[known] = newest;
    if (current) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
    const unread = !current && BigInt(newest) > BigInt(seen[known] || "0");
    button.classList.toggle("pg-has-unread", unread);
    button.querySelector(".pg-unread").hidden = !unread;
  }
  sessionStorage.setItem("pg-seen", JSON.stringify(seen));
  document.title = `${place.direct ? "@" : "#"}${place.name} as ${person.name} · zimage-bot playground`;
}

/** Keep the keyboard out of the sidebar while a dialog is open. */
function followModals(sidebar) {
  const root = byId("modal-root");
  const follow = () => { sidebar.inert = root.getAttribute("aria-hidden") === "false" && !root.hidden; };
  new MutationObserver(follow).observe(root, { attributes: true });
}

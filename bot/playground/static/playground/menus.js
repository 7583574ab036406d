// The menu of a message and of a person: at a right click, at "⋯", after a long press, and at the menu key.
import { closeOutside, element, on } from "./dom.js";
import { page, request, toast } from "./page.js";

const LONG_PRESS_MILLISECONDS = 500;
const MARGIN = 8;

let stop = null;
let opener = null;

export function startMenus() {
  document.addEventListener("contextmenu", (event) => {
    const target = targetOf(event.target);
    if (!target || event.shiftKey || event.target.closest("a, input, textarea")) return;
    event.preventDefault();
    const box = target.source.getBoundingClientRect();
    const byKey = event.clientX === 0 && event.clientY === 0;
    void open(target, byKey ? box.left + 80 : event.clientX, byKey ? box.top + 20 : event.clientY);
  });
  document.addEventListener("click", (event) => {
    const member = event.target.closest?.(".pg-member[data-member]");
    if (member) {
      const box = member.getBoundingClientRect();
      void open({ kind: "user", name: member.dataset.member, source: member }, box.left - 200, box.top);
    }
  });
  followLongPresses();
  on("seat", close);
}

/** Add "⋯" to the actions of a message. */
export function addMenuButton(message) {
  let bar = message.querySelector(":scope > .message-context-actions");
  if (bar?.querySelector(".pg-more")) return;
  if (!bar) {
    bar = element("div", { class: "message-context-actions", role: "toolbar", "aria-label": "Actions" });
    message.append(bar);
  }
  bar.append(element("button", {
    class: "message-action-button pg-more", type: "button", "aria-label": "More", title: "More", "aria-haspopup": "menu",
    "data-control-key": `message:${message.dataset.messageId}:action:menu`,
    onclick: (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      void open({ kind: "message", source: message, button: event.currentTarget }, box.left, box.bottom + 4);
    },
  }, "⋯"));
}

function targetOf(part) {
  const member = part.closest?.(".pg-member[data-member]");
  if (member) return { kind: "user", name: member.dataset.member, source: member };
  const message = part.closest?.(".channel-message[data-message-id]");
  if (!message) return null;
  if (part.closest(".message-author, .message-avatar")) {
    return { kind: "user", name: message.querySelector(".message-author").textContent, source: message };
  }
  return { kind: "message", source: message };
}

function followLongPresses() {
  let timer = null;
  const cancel = () => clearTimeout(timer);
  document.addEventListener("touchstart", (event) => {
    cancel();
    const target = targetOf(event.target);
    if (!target || event.touches.length > 1 || event.target.closest("input, textarea")) return;
    const { clientX, clientY } = event.touches[0];
    timer = setTimeout(() => { if (!stop) void open(target, clientX, clientY); }, LONG_PRESS_MILLISECONDS);
  }, { passive: true });
  for (const name of ["touchend", "touchmove", "touchcancel", "scroll"]) {
    document.addEventListener(name, cancel, { passive: true, capture: true });
  }
}

async function open(target, x, y) {
  close();
  opener = target.button || document.activeElement;
  const menu = element("div", { class: "pg-menu", role: "menu", "aria-label": "Menu" });
  menu.addEventListener("keydown", moveFocus);
  menu.append(...(target.kind === "message" ? messageItems(target.source) : []));
  document.body.append(menu);
  placeMenu(menu, x, y);
  stop = closeOutside([menu], () => { close(); opener?.focus?.(); });
  const id = target.kind === "message"
    ? messageFor(target.source) : page.status.people.find(({ name }) => name === target.name)?.id;
  if (id) await addCommands(menu, target.kind, id);
  if (!menu.childElementCount) menu.append(element("p", {}, `${target.name || "This"}: no commands here.`));
  placeMenu(menu, x, y);
  menu.querySelector("[role=menuitem]")?.focus({ preventScroll: true });
}

async function addCommands(menu, kind, id) {
  let commands = [];
  try {
    ({ commands } = await request(`/playground/menu?kind=${kind}`));
  } catch {
    menu.append(element("p", {}, "The bot offers no commands at the moment."));
  }
  if (!commands.length) return;
  menu.append(element("p", {}, "Apps"), ...commands.map((name) => item(name, () => useCommand(kind, name, id), {
    "data-command": name,
  })));
}

async function useCommand(kind, name, target) {
  try {
    await request("/playground/menu", { method: "POST", json: { kind, name, target } });
  } catch (error) {
    toast(error.status ? "The bot did not answer: try again in a moment." : "The playground does not answer.");
  }
}

/** Return the id of a message that commands may be used on: not of one that only the person can see. */
function messageFor(message) {
  return message.querySelector(":scope > .message-ephemeral-note") ? null : message.dataset.messageId;
}

/** What SimCord's page offers for a message, and its text. */
function messageItems(message) {
  const offered = [...message.querySelectorAll(".message-context-actions .message-action-button:not(.pg-more)")]
    .filter((button) => messageFor(message) || button.getAttribute("aria-label") !== "Reply");
  const items = offered.map((button) => item(button.getAttribute("aria-label"), () => {
    message.querySelector(`[data-control-key="${button.dataset.controlKey}"]`)?.click();
  }, { "data-action": button.getAttribute("aria-label").toLowerCase() }));
  const dismiss = message.querySelector(":scope > .message-ephemeral-note .pg-dismiss");
  if (dismiss) items.push(item("Dismiss message", () => dismiss.click(), { "data-action": "dismiss" }));
  const text = message.querySelector(".message-content")?.innerText;
  if (text) items.push(item("Copy text", () => copy(text), { "data-action": "copy" }));
  return items;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("The browser does not allow copying here.");
  }
}

function item(label, act, attributes) {
  return element("button", { type: "button", role: "menuitem", ...attributes, onclick: () => { close(); void act(); } }, label);
}

function moveFocus(event) {
  const items = [...event.currentTarget.querySelectorAll("[role=menuitem]")];
  const index = items.indexOf(document.activeElement);
  const next = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: items.length - 1 }[event.key];
  if (event.key === "Tab") close();
  if (next === undefined || !items.length) return;
  event.preventDefault();
  items[(next + items.length) % items.length].focus();
}

function placeMenu(menu, x, y) {
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(MARGIN, Math.min(x, innerWidth - width - MARGIN))}px`;
  menu.style.top = `${Math.max(MARGIN, Math.min(y, innerHeight - height - MARGIN))}px`;
}

function close() {
  stop?.();
  stop = null;
  document.querySelector(".pg-menu")?.remove();
}


// What SimCord's rendering of messages lacks: it builds a message anew at each change of it.
import { byId, element, on } from "./dom.js";
import { page, toast } from "./page.js";
import { shortenLinks } from "./links.js";
import { addMenuButton } from "./menus.js";

const DAY_MILLISECONDS = 24 * 60 * 60 * 1000;
const ASKING = new Set(["click", "select", "modal_submit", "run_command"]);

/** The ids of messages that the person has dismissed: those that only they can see. */
const dismissed = new Set(JSON.parse(sessionStorage.getItem("pg-dismissed") || "[]"));

/** The pictures that each message shows, by message id, the loaded ones. */
const loaded = new Map();

export function startMessages() {
  const list = byId("channel-message-list");
  new MutationObserver(() => {
    const gone = [...loaded.keys()].filter((id) => !list.querySelector(`[data-message-id="${id}"]`));
    let replaced = loaded.get(gone.at(-1));
    for (const message of list.querySelectorAll(".channel-message")) if (decorate(message, replaced)) replaced = null;
    for (const id of gone) loaded.delete(id);
  }).observe(list, { childList: true, subtree: true });
  list.addEventListener("load", noteLoaded, true);
  window.addEventListener("resize", () => list.querySelectorAll("[data-message-id]").forEach((message) => {
    if (message.style.minHeight) hold(message);
  }));
  improveDialogs(byId("modal-root"));
  nameEditedMessage();
  keepClicks(list);
  tellFailures();
  on("seat", () => loaded.clear());
}

/** Add to a message what SimCord leaves out. Returns true if it shows ``replaced`` until its own pictures are loaded. */
function decorate(message, replaced) {
  if (message.firstElementChild === message.decorated) return false;
  const isNew = !message.decorated;
  message.decorated = message.firstElementChild;
  addMenuButton(message);
  shortenLinks(message);
  offerDismissal(message);
  const time = message.querySelector(".message-time");
  if (time?.firstChild) time.firstChild.textContent = timeInWords(new Date(time.dateTime));
  const images = [...message.querySelectorAll("img.attachment-image")];
  if (!images.length) message.style.minHeight = "";
  // The bot posts the finished picture as a new message and removes that of its progress.
  const kept = loaded.get(message.dataset.messageId) || (isNew && images.length ? replaced : null) || [];
  images.forEach((image, index) => {
    const old = kept[index];
    if (!old || image.complete && image.naturalWidth) return;
    old.alt = "";
    old.classList.add("pg-old");
    image.before(old);
    image.classList.add("pg-coming");
  });
  return kept === replaced;
}

function offerDismissal(message) {
  const note = message.querySelector(":scope > .message-ephemeral-note");
  const id = message.dataset.messageId;
  message.hidden = dismissed.has(id);
  note?.append(" · ", element("button", {
    class: "pg-dismiss", type: "button",
    onclick: () => {
      dismissed.add(id);
      sessionStorage.setItem("pg-dismissed", JSON.stringify([...dismissed]));
      message.hidden = true;
    },
  }, "Dismiss message"));
}

/** A new picture takes the place of the one before it only once it is loaded. */
function noteLoaded({ target: image }) {
  if (!image.matches?.("img.attachment-image") || image.classList.contains("pg-old")) return;
  image.classList.remove("pg-coming");
  image.parentElement.querySelector(".pg-old")?.remove();
  const message = image.closest(".channel-message");
  const images = [...message.querySelectorAll("img.attachment-image:not(.pg-old)")];
  const kept = loaded.get(message.dataset.messageId) || [];
  kept[images.indexOf(image)] = image;
  loaded.set(message.dataset.messageId, kept);
  hold(message);
}

/** Keep a message as high as it is while it is built anew, or else what is read would jump. */
function hold(message) {
  message.style.minHeight = "";
  message.style.minHeight = `${message.offsetHeight}px`;
}

function timeInWords(date) {
  const today = new Date().setHours(0, 0, 0, 0);
  const clock = date.toLocaleTimeString("en-US", { hour: "numeric", minute: "2-digit" });
  const day = new Date(date).setHours(0, 0, 0, 0);
  if (day === today) return `Today at ${clock}`;
  if (Math.round((today - day) / DAY_MILLISECONDS) === 1) return `Yesterday at ${clock}`;
  return `${date.toLocaleDateString("en-US")} ${clock}`;
}

/** Forms begin at their first field, and are not told how many options are selected; what is wrong stays. */
function improveDialogs(dialogs) {
  let shown = null;
  new MutationObserver(() => {
    for (const line of dialogs.querySelectorAll(".select-guidance")) {
      if (/^\d+ selected\. Choose/.test(line.textContent)) line.hidden = true;
    }
    const dialog = dialogs.querySelector(".modal-dialog");
    const opened = dialog && !shown;
    shown = dialog;
    if (opened) setTimeout(() => dialogs.querySelector(".modal-input, .select-trigger")?.focus(), 50);
  }).observe(dialogs, { childList: true, subtree: true });
}

/** SimCord names an edited message by its number. */
function nameEditedMessage() {
  const label = byId("reply-label");
  new MutationObserver(() => {
    if (/^Editing message \d/.test(label.textContent)) label.textContent = "Editing your message";
  }).observe(label, { childList: true });
}

/** A button that is built anew between press and release would lose the click. */
function keepClicks(list) {
  let pressed = null;
  list.addEventListener("pointerdown", (event) => {
    pressed = event.button === 0 ? event.target.closest("button[data-control-key]") : null;
  });
  document.addEventListener("pointerup", (event) => {
    const button = pressed;
    pressed = null;
    if (!button || button.isConnected) return;
    const now = document.elementFromPoint(event.clientX, event.clientY)?.closest("button[data-control-key]");
    if (now?.dataset.controlKey === button.dataset.controlKey) now.click();
  });
}

/** Say in words when the bot has not answered what this page has asked. */
function tellFailures() {
  on("receipt", ({ detail: { kind, receipt } }) => {
    if (!ASKING.has(kind)) return;
    const failed = receipt.acknowledgement === "unacknowledged" || ["failed", "timeout", "cancelled"].includes(receipt.settlement);
    if (failed) {
      toast(["ready", "loading"].includes(page.status?.bot)
        ? "The application did not respond. Try again." : "The bot is restarting: try again in a moment.");
    }
  });
}

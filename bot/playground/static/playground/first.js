// The first screen: three things to try, each shown as it would be typed.
import { byId, closeOutside, element, on, until } from "./dom.js";
import { page, request, toast } from "./page.js";
import { fillCommand } from "./commands.js";

const PROMPT = "a red circle on a blue background";
const MIDJOURNEY = "a large yellow star on a black background --ar 3:2 --v 6 --s 250";
const RESTART = "a green square on a white background";
const PICTURE_MILLISECONDS = 120000;

const TRIALS = {
  prompt: {
    title: "Generate a picture",
    shown: `/imagine ${PROMPT}`,
    text: "Types the command below and sends it.",
    run: () => imagine({ prompt: PROMPT }),
  },
  midjourney: {
    title: "Paste a prompt from Midjourney",
    shown: `/imagine ${MIDJOURNEY}`,
    text: "The bot uses the flags it knows and asks about the others.",
    run: () => imagine({ prompt: MIDJOURNEY }),
  },
  restart: {
    title: "Restart the bot in the middle of a picture",
    shown: `/imagine ${RESTART}`,
    text: "Closes the bot meanwhile, as an update would, and starts it again. The picture still arrives.",
    run: restartMidway,
  },
};

let floating = null;
let running = false;

export function startFirstScreen() {
  const cards = Object.entries(TRIALS).map(([id, { title, shown, text }]) => element("button", {
    type: "button", "data-try": id, onclick: () => start(id),
  }, element("strong", {}, title), element("span", {}, text), element("code", {}, shown)));
  const panel = element("section", { id: "pg-try", "aria-labelledby": "pg-welcome", hidden: true },
    element("h2", { id: "pg-welcome" }),
    element("p", {}, "This is a simulated Discord with the real bot in it, on your own computer. Type ",
      element("code", {}, "/"), " to see its commands, or try one of these:"),
    element("p", { class: "pg-wait", hidden: true }, "The bot is starting: one moment, please."),
    element("div", { class: "pg-cards" }, ...cards));
  byId("channel-timeline").prepend(panel);
  const header = document.querySelector(".channel-header");
  header.append(element("div", { id: "pg-tools" }, element("button", {
    id: "pg-try-open", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", onclick: toggle,
  }, "Try this")));
  new MutationObserver(place).observe(byId("channel-empty"), { attributes: true, attributeFilter: ["hidden"] });
  on("shown", place);
  on("status", place);
}

/** Show the panel in an empty channel; elsewhere only while it is asked for. */
function place() {
  const panel = byId("pg-try");
  const empty = !byId("channel-empty").hidden && page.place !== null;
  if (empty && floating) close();
  panel.classList.toggle("pg-floating", !empty);
  panel.hidden = !empty && !floating;
  byId("pg-try-open").hidden = empty;
  const welcome = page.place?.direct ? `Write to ${page.place.name}` : `Welcome to #${page.place?.name}`;
  if (byId("pg-welcome").textContent !== welcome) byId("pg-welcome").textContent = welcome;
  const usable = !running && ["loading", "ready"].includes(page.status?.bot);
  panel.querySelector(".pg-wait").hidden = !["starting", "restarting"].includes(page.status?.bot);
  for (const card of panel.querySelectorAll("[data-try]")) card.disabled = !usable;
}

function toggle() {
  if (floating) { close(); return; }
  const panel = byId("pg-try");
  document.body.append(panel);
  floating = closeOutside([panel, byId("pg-try-open")], () => { close(); byId("pg-try-open").focus(); });
  byId("pg-try-open").setAttribute("aria-expanded", "true");
  place();
  panel.querySelector("[data-try]").focus();
}

function close() {
  floating?.();
  floating = null;
  byId("pg-try-open").setAttribute("aria-expanded", "false");
  byId("channel-timeline").prepend(byId("pg-try"));
  place();
}

async function start(id) {
  if (running) return;
  running = true;
  if (floating) close();
  place();
  try {
    await TRIALS[id].run();
  } catch (error) {
    toast(error.message);
  } finally {
    running = false;
    place();
  }
}

/** Type /imagine and send it. Throws an Error if the bot does not offer it yet. */
async function imagine(options) {
  if (!await fillCommand("imagine", options, { send: true })) {
    throw new Error("The bot does not offer its commands yet: try again in a few seconds.");
  }
}

async function restartMidway() {
  const before = newestMessage();
  const older = new Set(messages().map(({ dataset }) => dataset.messageId));
  await imagine({ prompt: RESTART });
  const message = await until(() => newestMessage() !== before && newestMessage(), 10000);
  if (!message) throw new Error("The bot did not answer: see its state at the bottom left.");
  const shown = () => document.querySelector(`.channel-message[data-message-id="${message}"]`);
  const begun = await until(() => {
    const text = shown()?.querySelector(".message-content")?.textContent || "";
    return !shown() || /seed \d/.test(text) ? "over" : Number(/(\d+)%/.exec(text)?.[1] || 0) > 0;
  }, PICTURE_MILLISECONDS);
  if (begun === "over" || !begun) {
    note("The picture was ready before the bot could be closed: try it again.");
    return;
  }
  note("The bot is closed in the middle of the picture and started again, as for an update. The request is on disk.");
  await request("/playground/restart", { method: "POST", json: {} });
  const arrived = await until(() => messages().some((item) => !older.has(item.dataset.messageId)
    && item.querySelector(".attachment-image")
    && /seed \d/.test(item.querySelector(".message-content")?.textContent || "")), PICTURE_MILLISECONDS);
  if (arrived) note("The bot has started again and the picture has arrived: a restart loses no request.");
}

function messages() {
  return [...document.querySelectorAll(".channel-message[data-message-id]")];
}

function newestMessage() {
  return messages().pop()?.dataset.messageId;
}

/** Show a line above the composer until it is closed. */
function note(text) {
  byId("pg-note")?.remove();
  byId("channel-composer").before(element("p", { id: "pg-note", role: "status" }, element("span", {}, text),
    element("button", { class: "pg-icon", type: "button", "aria-label": "Close", onclick: () => byId("pg-note").remove() }, "×")));
}


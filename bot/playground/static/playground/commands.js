// Uses SimCord's command picker as a person does: types a slash, chooses the command, fills in its options.
import { byId, on, setText, sleep, until, wantsLessMotion } from "./dom.js";

const KEY_MILLISECONDS = 18;

/** Do what Discord does and SimCord's page does not: see below. */
export function startCommands() {
  document.addEventListener("input", ({ target }) => { if (target.id === "channel-composer-input") chooseAtSpace(target); });
  document.addEventListener("focusin", ({ target }) => { if (target.matches(".command-option-input")) suggest(target); });
  document.addEventListener("paste", (event) => { if (event.target.id === "channel-composer-input") pasteCommand(event); }, true);
  on("receipt", ({ detail }) => { if (detail.kind === "run_command") void dropReply(); });
  on("status", offerCommands);
}

/** An empty field with suggestions of the bot shows them at once. */
function suggest(input) {
  setTimeout(() => {
    const heading = document.querySelector(".command-popup:not([hidden]) .command-popup-heading")?.textContent || "";
    if (input.isConnected && !input.value && heading.startsWith("OPTIONS MATCHING")) setText(input, "");
  });
}

/** A space after a command's whole name chooses it. */
function chooseAtSpace(input) {
  if (!/^\/\S.* $/.test(input.value)) return;
  const name = input.value.trimEnd();
  [...document.querySelectorAll(".command-entry")].find((item) => item.querySelector("strong").textContent === name)?.click();
}

/** A pasted command becomes the command, and the text after its name the first option. */
async function pasteCommand(event) {
  const text = event.clipboardData?.getData("text/plain").trim() || "";
  const [, name, rest] = /^\/(\w+)\s+(.+)$/s.exec(text) || [];
  if (!name || event.target.value) return;
  event.preventDefault();
  const chosen = await fillCommand(name, {}, { typed: false });
  const first = document.querySelector("#channel-composer .command-option-input");
  if (!chosen || !first) {
    document.querySelector("#channel-composer .command-context-close")?.click();
    setText(byId("channel-composer-input"), text);
    return;
  }
  setText(first, rest.replace(new RegExp(`^${first.dataset.option}:\\s*`), "").replaceAll(/\s+/g, " "));
  first.focus();
}

/** A command is no reply: Discord drops the reply in which it was typed. */
async function dropReply() {
  const shown = await until(() => !byId("reply-context").hidden, 600);
  if (shown && byId("channel-composer-input") && !byId("channel-composer-input").value) byId("reply-cancel").click();
}

/** Open the list of commands for a slash that was typed before the bot had any. */
function offerCommands() {
  const input = byId("channel-composer-input");
  if (input && document.activeElement === input && input.value.startsWith("/") && !document.querySelector(".command-entry")) {
    setText(input, input.value);
  }
}

function field(option) {
  return document.querySelector(`#channel-composer .command-option-input[data-option="${CSS.escape(option)}"]`);
}

/** Put a slash command with options into the composer, and send it if ``send``. Returns false if it is not offered. */
export async function fillCommand(name, options, { send = false, typed = true } = {}) {
  document.querySelector("#channel-composer .command-context-close")?.click();
  const input = await until(() => byId("channel-composer-input"), 1000);
  if (!input) return false;
  if (typed) input.focus();
  setText(input, `/${name}`);
  const found = () => [...document.querySelectorAll(".command-entry")]
    .find((item) => item.querySelector("strong").textContent === `/${name}`);
  const entry = await until(() => found() || (setText(input, input.value), null), 3000);
  if (!entry) return false;
  if (typed) await sleep(wantsLessMotion() ? 0 : 350);
  (found() || entry).click();
  for (const [option, text] of Object.entries(options)) {
    if (!field(option)) await addOption(option);
    if (!await until(() => field(option), 1000)) return false;
    await type(option, String(text), typed);
  }
  if (send) {
    await sleep(typed && !wantsLessMotion() ? 350 : 0);
    byId("channel-composer").requestSubmit();
  }
  return true;
}

async function addOption(option) {
  document.querySelector("#channel-composer .command-ghost")?.click();
  const offered = await until(() => document.querySelector(`.command-suggestion[data-value="${CSS.escape(option)}"]`), 1000);
  offered?.click();
}

async function type(option, text, typed) {
  if (typed && !wantsLessMotion()) {
    const letters = [...text];
    for (let count = 1; count < letters.length; count += 1) {
      setText(field(option), letters.slice(0, count).join(""));
      await sleep(KEY_MILLISECONDS);
    }
  }
  setText(field(option), text);
}

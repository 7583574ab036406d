// Uses SimCord's command picker as a person does: types a slash, chooses the command, fills in its options.
import { byId, setText, sleep, until, wantsLessMotion } from "./dom.js";

const KEY_MILLISECONDS = 18;

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

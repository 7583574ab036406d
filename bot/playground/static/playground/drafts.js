// What is typed but not sent: kept for each person in each place, and while the bot restarts.
import { byId, on, setText } from "./dom.js";
import { fillCommand } from "./commands.js";

const STORED = "pg-drafts";
const SENDING = new Set(["send_message", "run_command"]);

/** What the person has typed last; SimCord's page empties the composer when the bot restarts. */
let typed = null;
let botGeneration = null;

export function startDrafts() {
  document.addEventListener("input", (event) => {
    if (event.isTrusted && event.target.closest("#channel-composer")) typed = current();
  });
  on("receipt", ({ detail }) => { if (SENDING.has(detail.kind)) typed = null; });
  on("seat", () => { typed = null; });
  on("status", () => {
    const { botGeneration: now } = window.simcordPreview || {};
    const restarted = botGeneration !== null && now !== botGeneration;
    botGeneration = now ?? botGeneration;
    const input = byId("channel-composer-input");
    if (!restarted || !input) return;
    if (typed && !input.value) put(typed);
    else if (!typed && input.value) setText(input, "");
  });
}

/** Return what is in the composer: {text}, or {command, options}; null for nothing or an edit of a message. */
function current() {
  const row = document.querySelector("#channel-composer .command-row");
  if (row) {
    const options = {};
    for (const field of row.querySelectorAll(".command-option-input")) options[field.dataset.option] = field.value;
    return { command: row.querySelector(".command-chip").textContent.slice(1), options };
  }
  const text = byId("channel-composer-input")?.value;
  return text && byId("send-message").dataset.mode !== "Save" ? { text } : null;
}

function put(draft) {
  typed = draft;
  if (draft.command) void fillCommand(draft.command, draft.options, { typed: false });
  else setText(byId("channel-composer-input"), draft.text);
}

/** Keep what is in the composer under a key; does nothing for null. */
export function keepDraft(key) {
  if (!key) return;
  const drafts = JSON.parse(sessionStorage.getItem(STORED) || "{}");
  const draft = current();
  if (draft) drafts[key] = draft;
  else delete drafts[key];
  sessionStorage.setItem(STORED, JSON.stringify(drafts));
}

/** Put what was kept under a key into the composer, and forget it; nothing empties the composer. */
export function restoreDraft(key) {
  const input = byId("channel-composer-input");
  if (!key || !input) return;
  const drafts = JSON.parse(sessionStorage.getItem(STORED) || "{}");
  const draft = drafts[key];
  delete drafts[key];
  sessionStorage.setItem(STORED, JSON.stringify(drafts));
  if (draft) put(draft);
  else if (input.value) setText(input, "");
}

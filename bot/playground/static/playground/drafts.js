// What is typed but not sent, kept for each person in each place while another is shown.
import { byId, setText } from "./dom.js";
import { fillCommand } from "./commands.js";

const STORED = "pg-drafts";

/** Keep what is in the composer under a key; does nothing for null. */
export function keepDraft(key) {
  const row = document.querySelector("#channel-composer .command-row");
  const input = byId("channel-composer-input");
  if (!key || (!row && !input)) return;
  const drafts = JSON.parse(sessionStorage.getItem(STORED) || "{}");
  if (row) {
    const options = {};
    for (const field of row.querySelectorAll(".command-option-input")) options[field.dataset.option] = field.value;
    drafts[key] = { command: row.querySelector(".command-chip").textContent.slice(1), options };
  } else if (input.value && byId("send-message")?.dataset.mode !== "Save") drafts[key] = { text: input.value };
  else delete drafts[key];
  sessionStorage.setItem(STORED, JSON.stringify(drafts));
}

/** Put back what was kept under a key, and forget it. */
export function restoreDraft(key) {
  const input = byId("channel-composer-input");
  if (!key || !input) return;
  const drafts = JSON.parse(sessionStorage.getItem(STORED) || "{}");
  const draft = drafts[key];
  delete drafts[key];
  sessionStorage.setItem(STORED, JSON.stringify(drafts));
  if (draft?.command) void fillCommand(draft.command, draft.options, { typed: false });
  else if (input.value !== (draft?.text || "")) setText(input, draft?.text || "");
}

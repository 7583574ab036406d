// Pictures in messages: chosen, dropped or pasted, shown above the text until they are sent.
import { byId, element, emit, on, setText } from "./dom.js";
import { request, toast } from "./page.js";

const MOST_FILES = 10;
const MOST_BYTES = 10 * 2 ** 20;

let files = [];
let replyTo = null;
let sending = false;

export function startUploads() {
  const form = byId("channel-composer");
  const chooser = element("input", {
    type: "file", multiple: true, hidden: true, accept: "image/*",
    onchange: () => { add(chooser.files); chooser.value = ""; },
  });
  form.querySelector(".composer-row").prepend(element("button", {
    id: "pg-attach", class: "pg-icon", type: "button", "aria-label": "Attach pictures", title: "Attach pictures",
    onclick: () => chooser.click(),
  }, "+"), chooser);
  form.querySelector(".composer-row").before(element("ul", { id: "pg-files", "aria-label": "Pictures to send", hidden: true }));
  document.addEventListener("click", noteReply, true);
  document.addEventListener("submit", (event) => { if (event.target === form) submit(event); }, true);
  document.addEventListener("keydown", sendWithoutText, true);
  document.addEventListener("paste", (event) => {
    const pasted = event.clipboardData?.files;
    if (!pasted?.length || document.querySelector(".modal-dialog")) return;
    event.preventDefault();
    add(pasted);
  });
  acceptDrops();
  on("seat", clear);
}

function acceptDrops() {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files") && !event.target.closest?.(".upload-dropzone");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("pg-dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("pg-dropping");
  });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("pg-dropping");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    add(event.dataTransfer.files);
  });
}

/** Take files into the command's empty picture option, if there is one, or else beside the text. */
function add(chosen) {
  for (const file of chosen) {
    if (!file.type.startsWith("image/")) toast(`${file.name} is not a picture.`);
    else if (file.size > MOST_BYTES) toast(`${file.name} is larger than 10 MB.`);
    else if (fillOption(file)) continue;
    else if (files.length === MOST_FILES) toast("A message has at most 10 pictures.");
    else files.push(file);
  }
  show();
}

function fillOption(file) {
  const empty = [...document.querySelectorAll("#channel-composer .command-pill")].find((pill) =>
    pill.querySelector(".command-file-input") && !pill.querySelector(".command-file-remove"));
  if (!empty) return false;
  const carried = new DataTransfer();
  carried.items.add(file);
  const input = empty.querySelector(".command-file-input");
  input.files = carried.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
  return true;
}

function show() {
  const list = byId("pg-files");
  for (const image of list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  list.hidden = files.length === 0;
  list.replaceChildren(...files.map((file) => element("li", {},
    element("img", { src: URL.createObjectURL(file), alt: "" }),
    element("span", {}, file.name),
    element("button", {
      class: "pg-icon", type: "button", "aria-label": `Remove ${file.name}`,
      onclick: () => { files = files.filter((kept) => kept !== file); show(); byId("channel-composer-input")?.focus(); },
    }, "×"))));
  byId("channel-composer-input")?.focus();
}

function clear() {
  files = [];
  const list = byId("pg-files");
  if (!list.hidden) show();
}

function noteReply(event) {
  const button = event.target.closest?.("[data-control-key$=':action:reply']");
  if (button) replyTo = button.dataset.controlKey.split(":")[1];
}

/** Without text SimCord's composer does nothing at Enter. */
function sendWithoutText(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.target.id !== "channel-composer-input") return;
  if (!files.length || event.target.value.startsWith("/")) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  byId("channel-composer").requestSubmit();
}

/** Send the message if it has files; SimCord's page sends the others. */
async function submit(event) {
  const input = byId("channel-composer-input");
  if (!files.length || !input || byId("send-message").dataset.mode === "Save") return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (sending) return;
  sending = true;
  const form = new FormData();
  form.append("content", input.value);
  if (!byId("reply-context").hidden && replyTo) form.append("reply_to", replyTo);
  for (const file of files) form.append("file", file, file.name);
  try {
    await request("/playground/message", { method: "POST", body: form });
    files = [];
    setText(input, "");
    if (!byId("reply-context").hidden) byId("reply-cancel").click();
    show();
    emit("receipt", { kind: "send_message", receipt: {} });
  } catch (error) {
    toast(error.status ? error.message : "The message was not sent: the playground does not answer.");
  } finally {
    sending = false;
  }
}

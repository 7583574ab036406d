// The panel that switches faults on and off, where the server offers them.
import { byId, closeOutside, element, on } from "./dom.js";
import { page, request, toast } from "./page.js";

let stop = null;

export function startFaults() {
  byId("pg-tools").append(element("button", {
    id: "pg-faults-open", type: "button", hidden: true, "aria-haspopup": "dialog", "aria-expanded": "false",
    "aria-controls": "pg-faults", onclick: () => (stop ? close() : open()),
  }, "Faults"));
  document.body.append(element("aside", { id: "pg-faults", role: "dialog", "aria-label": "Faults", hidden: true },
    element("header", {}, element("h2", {}, "Faults"), element("button", {
      class: "pg-icon", type: "button", "aria-label": "Close", onclick: close,
    }, "×")),
    element("p", {}, "Switch on what can go wrong and see what the bot does about it."),
    element("div", { class: "pg-list" })));
  on("status", show);
}

function show() {
  const faults = page.status.faults || [];
  const button = byId("pg-faults-open");
  button.hidden = faults.length === 0;
  button.classList.toggle("pg-active", faults.some(({ active }) => active));
  const list = byId("pg-faults").querySelector(".pg-list");
  for (const fault of faults) {
    let box = list.querySelector(`[data-fault="${CSS.escape(fault.id)}"]`);
    if (!box) {
      box = element("input", {
        type: "checkbox", role: "switch", "data-fault": fault.id, onchange: (event) => change(fault.id, event.target),
      });
      list.append(element("label", {}, element("span", {},
        element("strong", {}, fault.title), element("small", {}, fault.description)), box));
    }
    if (!box.disabled) box.checked = fault.active;
  }
}

async function change(id, box) {
  box.disabled = true;
  try {
    await request("/playground/fault", { method: "POST", json: { id, on: box.checked } });
  } catch (error) {
    box.checked = !box.checked;
    toast(error.status ? error.message : "The playground does not answer.");
  } finally {
    box.disabled = false;
    box.focus();
  }
}

function open() {
  const panel = byId("pg-faults");
  panel.hidden = false;
  byId("pg-faults-open").setAttribute("aria-expanded", "true");
  stop = closeOutside([panel, byId("pg-faults-open")], close);
  panel.querySelector("input")?.focus();
}

function close() {
  if (!stop) return;
  stop();
  stop = null;
  byId("pg-faults").hidden = true;
  byId("pg-faults-open").setAttribute("aria-expanded", "false");
  byId("pg-faults-open").focus();
}

// Small helpers for elements, events of the page, and waiting.

const events = new EventTarget();

/** Call ``listener`` at each event: "status", "seat" (chosen), "shown" (its messages are there), "receipt" (of an action). */
export function on(name, listener) {
  events.addEventListener(name, listener);
}

export function emit(name, detail = null) {
  events.dispatchEvent(new CustomEvent(name, { detail }));
}

export function byId(id) {
  return document.getElementById(id);
}

/** Create an element with attributes, listeners (names that begin with "on") and children. */
export function element(tag, attributes = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) created.addEventListener(name.slice(2), value);
    else if (value === true) created.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) created.setAttribute(name, value);
  }
  created.append(...children);
  return created;
}

/** Wait until ``condition`` returns something, and return it; null after ``milliseconds``. */
export async function until(condition, milliseconds = 5000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const found = condition();
    if (found) return found;
    if (Date.now() > end) return null;
    await sleep(30);
  }
}

export function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Set a field's text as typing does. */
export function setText(field, text) {
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

export function wantsLessMotion() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Close the menu or panel that ``close`` closes at Escape, or at a press outside of ``inside``. Returns a stop. */
export function closeOutside(inside, close) {
  const key = (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    close();
  };
  const press = (event) => { if (!inside.some((part) => part.contains(event.target))) close(); };
  document.addEventListener("keydown", key, true);
  document.addEventListener("pointerdown", press, true);
  return () => {
    document.removeEventListener("keydown", key, true);
    document.removeEventListener("pointerdown", press, true);
  };
}

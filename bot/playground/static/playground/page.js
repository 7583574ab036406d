// Who looks at which place, the requests of the page, and how the bot is.
import { keepDraft, restoreDraft } from "./drafts.js";
import { byId, element, emit, until } from "./dom.js";

const STATUS_MILLISECONDS = 1000;
const LOST_MILLISECONDS = 4000;
const key = location.hash.slice(1);
const serverFetch = window.fetch.bind(window);

/** The person ({id, name, title}) and place ({key, name, direct}) of this tab, and the newest status of the server. */
export const page = { contextId: null, person: null, place: null, status: null };

let ended = false;
let lostSince = null;
let switching = Promise.resolve();
let wanted = null;

/** Send a request of this page. Returns the JSON answer; throws an Error with a sentence for people. */
export async function request(path, { method = "GET", json, body } = {}) {
  const headers = { "X-Simcord-Capability": key };
  if (page.contextId) headers["X-Simcord-Context"] = page.contextId;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  const response = await serverFetch(path, {
    method, headers, cache: "no-store", body: json !== undefined ? JSON.stringify(json) : body,
  });
  if (!response.ok) throw Object.assign(new Error(await response.text()), { status: response.status });
  return response.json();
}

export function startPage() {
  window.fetch = pageFetch;
  window.addEventListener("pagehide", () => keepDraft(seatKey()));
  void pollStatus();
}

/** Show another ``person`` or ``place``, or both, on this page; quick clicks add up. */
export function takeSeat(change) {
  wanted = { person: page.person, place: page.place, ...wanted, ...change };
  switching = switching.then(() => {
    const next = wanted;
    wanted = null;
    return next && changeSeat(next.person, next.place);
  }).catch((error) => toast(error.message));
  return switching;
}

/** Show a sentence for a few seconds. */
export function toast(text) {
  const box = byId("pg-toast") || document.body.appendChild(element("div", { id: "pg-toast", role: "status" }));
  box.textContent = text;
  box.hidden = false;
  clearTimeout(box.timer);
  box.timer = setTimeout(() => { box.hidden = true; }, 6000);
}

export function seatKey() {
  return page.person && page.place ? `${page.person.name}:${page.place.key}` : null;
}

/** What SimCord's script calls instead of fetch: a page is opened for the chosen person, and endings are noticed. */
async function pageFetch(input, init = {}) {
  const path = String(input);
  if (!path.startsWith("/")) return serverFetch(input, init);
  if (ended) return new Promise(() => {});
  if (path === "/api/pages" && init.method === "POST") return openPage(init);
  let response;
  try {
    response = await serverFetch(input, init);
  } catch (error) {
    if (error.name !== "AbortError") noteLost();
    throw error;
  }
  lostSince = null;
  if (path === "/api/state" && (response.status === 410 || response.status === 401)) return reopen();
  if (path === "/api/action" && response.ok) void noteReceipt(init.body, response.clone());
  return response;
}

async function noteReceipt(body, response) {
  const sent = JSON.parse(body instanceof FormData ? body.get("payload") : body);
  emit("receipt", { kind: sent.kind, receipt: await response.json() });
}

async function openPage(init) {
  noteStatus(await request("/playground/status"));
  const { people, places } = page.status;
  page.person = people.find(({ name }) => name === sessionStorage.getItem("pg-person")) || people[0];
  page.place = places.find(({ key: place }) => place === sessionStorage.getItem("pg-place")) || places[0];
  const response = await serverFetch("/api/pages", {
    ...init,
    headers: { ...init.headers, "Content-Type": "application/json" },
    body: JSON.stringify({
      person: page.person.id, place: page.place.key, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    }),
  });
  page.contextId = (await response.clone().json()).context.id;
  emit("seat");
  void afterFirstSnapshot();
  return response;
}

async function afterFirstSnapshot() {
  await until(() => window.simcordPreview?.contextId && !byId("channel-composer").hidden, 10000);
  restoreDraft(seatKey());
  emit("shown");
}

async function changeSeat(person, place) {
  if (ended || !page.contextId || (person === page.person && place === page.place)) return;
  keepDraft(seatKey());
  leaveModes();
  const before = window.simcordPreview.contextGeneration;
  [page.person, page.place] = [person, place];
  sessionStorage.setItem("pg-person", person.name);
  sessionStorage.setItem("pg-place", place.key);
  emit("seat");
  await request("/playground/seat", { method: "POST", json: { person: person.id, place: place.key } });
  await until(() => window.simcordPreview.contextGeneration > before, 5000);
  restoreDraft(seatKey());
  emit("shown");
}

/** Leave a reply or an edit: it belongs to the place that is left. */
function leaveModes() {
  if (!byId("reply-context").hidden) byId("reply-cancel").click();
}

async function pollStatus() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, STATUS_MILLISECONDS));
    try {
      const status = await request("/playground/status");
      if (ended) location.reload();
      lostSince = null;
      noteStatus(status);
    } catch (error) {
      if (error.status === 400) continue; // the page has expired; SimCord's next request opens it again
      if (error.status === undefined) noteLost();
      else end();
    }
  }
}

function noteStatus(status) {
  page.status = status;
  emit("status");
}

function noteLost() {
  lostSince ??= Date.now();
  if (Date.now() - lostSince >= LOST_MILLISECONDS) end();
}

function end() {
  if (ended) return;
  ended = true;
  keepDraft(seatKey());
  document.body.append(element("div", { id: "pg-ended", role: "alertdialog", "aria-label": "The playground has ended" },
    element("div", {},
      element("h2", {}, "The playground has ended."),
      element("p", {}, "Start it again with ", element("code", {}, "make playground"),
        " and open the new link that it prints."))));
  byId("preview-shell").inert = true;
}

/** Open the page again after it has expired, as while a laptop slept. */
function reopen() {
  keepDraft(seatKey());
  location.reload();
  return new Promise(() => {});
}


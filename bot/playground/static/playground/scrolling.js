// The newest message stays in sight while pictures grow, unless the reader has scrolled up.
import { byId, on } from "./dom.js";

const NEAR_PIXELS = 40;
const READER_MILLISECONDS = 400;
const SENDING = new Set(["send_message", "run_command"]);

let follows = true;
let readerAt = 0;
let scrollbarHeld = false;
let heights = "";

export function startScrolling() {
  const timeline = byId("channel-timeline");
  const reader = () => { readerAt = Date.now(); };
  for (const name of ["wheel", "touchmove", "keydown"]) {
    timeline.addEventListener(name, reader, { passive: true });
  }
  timeline.addEventListener("pointerdown", (event) => { if (event.target === timeline) scrollbarHeld = true; });
  document.addEventListener("pointerup", () => { scrollbarHeld = false; });
  timeline.addEventListener("scroll", () => {
    const grown = heights !== heightsOf(timeline);
    heights = heightsOf(timeline);
    if (isAtEnd(timeline)) follows = true;
    else if (!grown || scrollbarHeld || Date.now() - readerAt < READER_MILLISECONDS) follows = false;
    else keep(timeline);
  }, { passive: true });
  const observer = new ResizeObserver(() => keep(timeline));
  observer.observe(timeline);
  observer.observe(byId("channel-message-list"));
  on("shown", () => toEnd(timeline));
  on("receipt", ({ detail }) => { if (SENDING.has(detail.kind)) toEnd(timeline); });
}

function heightsOf(timeline) {
  return `${timeline.scrollHeight} ${timeline.clientHeight}`;
}

function isAtEnd(timeline) {
  return timeline.scrollHeight - timeline.scrollTop - timeline.clientHeight <= NEAR_PIXELS;
}

/** Go to the end, and again after the next frame, in which SimCord's page sets a position of its own. */
function keep(timeline) {
  heights = heightsOf(timeline);
  if (!follows) return;
  timeline.scrollTop = timeline.scrollHeight;
  requestAnimationFrame(() => requestAnimationFrame(() => { if (follows) timeline.scrollTop = timeline.scrollHeight; }));
}

function toEnd(timeline) {
  follows = true;
  keep(timeline);
}

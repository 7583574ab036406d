// Links to messages lead to the message on this page, and the names of commands in a text choose the command.
import { byId, until } from "./dom.js";
import { fillCommand } from "./commands.js";
import { page, takeSeat, toast } from "./page.js";

const MESSAGE_LINK = /^https:\/\/discord\.com\/channels\/(@me|\d+)\/(\d+)\/(\d+)/;
const SHOWN_MILLISECONDS = 2000;

export function startLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    const [, server, channel, message] = MESSAGE_LINK.exec(link?.href || "") || [];
    if (message) {
      event.preventDefault();
      void showMessage(placeOf(server, channel), message);
    }
    const command = event.target.closest?.("span.command-mention");
    if (command) void fillCommand(command.textContent.replace("/", ""), {}, { typed: false });
  }, true);
}

/** Write links to messages as Discord does: the place and a sign, not the address. */
export function shortenLinks(message) {
  for (const link of message.querySelectorAll("a.markdown-link")) {
    const [, server, channel] = MESSAGE_LINK.exec(link.href) || [];
    if (!channel || !link.textContent.startsWith("https://")) continue;
    const place = placeOf(server, channel);
    link.textContent = place ? `${place.direct ? "@" : "#"}${place.name} › 💬` : "a message";
    link.classList.add("pg-message-link");
  }
}

function placeOf(server, channel) {
  const places = page.status?.places || [];
  return server === "@me" ? places.find(({ direct }) => direct) : places.find((place) => place.channel === channel);
}

async function showMessage(place, id) {
  if (place) await takeSeat({ place });
  const found = await until(() => byId("channel-message-list").querySelector(`[data-message-id="${id}"]`), 1500);
  if (!found) {
    toast("This message is no longer shown here.");
    return;
  }
  found.scrollIntoView({ block: "center" });
  found.classList.add("pg-found");
  setTimeout(() => found.classList.remove("pg-found"), SHOWN_MILLISECONDS);
}

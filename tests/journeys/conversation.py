"""A conversation on a simulated Discord: people act, and what they then see is written down."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from typing import Any

import discord

from bot.playground.world import World
from tests.helpers.buttons import filled_in
from tests.helpers.waiting import leave_running, until
from tests.journeys.rendering import component_lines, message_lines, varying_replaced


class Conversation:
    """Writes down what people do in a world, and after each action what is new in what they see.

    A message is shown again when it has changed. Those who are named in ``people`` see their own private messages.
    """

    def __init__(self, world: World, title: str, introduction: str) -> None:
        self.world = world
        self.people: list[Any] = [world.member]
        self._lines = [f"# {title}", "", introduction]
        self._seen: dict[int, list[str]] = {}

    @property
    def text(self) -> str:
        """The whole transcript as Markdown."""
        assert self.world.env.errors is not None  # refusals are errors that were answered; those that were read may be
        return "\n".join(self._lines) + "\n"

    def say(self, sentence: str) -> None:
        """Write a sentence of the narrator."""
        self._lines += ["", f"*{sentence}*"]

    def heading(self, text: str) -> None:
        """Begin a part of the page."""
        self._lines += ["", f"## {text}"]

    def add(self, person: Any) -> Any:
        """Let a person take part, whose private messages are shown too."""
        self.people.append(person)
        return person

    async def does(self, person: Any, what: str, action: Awaitable[Any], *, held: str = "") -> Any:
        """Write down an action, carry it out, and write what changed.

        While the test holds up a job, give a text that is shown when the action has had its effect as ``held``.
        """
        self._lines += ["", f"**{name_of(person)}** {self._named(what)}"]
        result = None
        if held:
            await leave_running(self.world, action)
            await until(lambda: any(held in message.content for message in self._visible()))
        else:
            result = await action
        self.show_changes()
        if result is not None and getattr(result, "modal", None):
            self._quote(f"**{result.modal['title']}** (a form)", self._modal(result.modal))
        return result

    async def slash(self, command: str, by: Any = None, *, held: str = "", **options: Any) -> Any:
        """Have a member run a slash command in the channel."""
        person = by or self.world.member
        shown = " ".join(f"{name}:{_shown(value)}" for name, value in options.items())
        typed = " ".join(filter(None, (f"/{command}", shown)))
        return await self.does(
            person, f"types `{typed}`", person.slash(self.world.channel, command, **options), held=held
        )

    async def types(self, text: str, by: Any = None, reply_to: discord.Message | None = None) -> Any:
        """Have a member send a message."""
        person = by or self.world.member
        how = "replies" if reply_to is not None else "writes"
        action = person.send(self.world.channel, text, reply_to=reply_to)
        return await self.does(person, f"{how} “{text}”", action)

    async def dm(self, text: str, by: Any = None) -> Any:
        """Have a member send the bot a direct message."""
        person = by or self.world.member
        return await self.does(person, f"writes to the bot directly: “{text}”", person.send_dm(text))

    async def presses(self, label: str, message: Any, by: Any = None, *, held: str = "") -> Any:
        """Have a member press the button with this label under a message."""
        person = by or self.world.member
        return await self.does(person, f"presses [{label}]", person.click(message, label=label), held=held)

    async def chooses(self, label: str, message: Any, by: Any = None) -> Any:
        """Have a member choose the option that begins with ``label`` in a message's select."""
        person = by or self.world.member
        options = [option for row in message.components for child in row.children for option in _options(child)]
        value = next(option.value for option in options if option.label.startswith(label))
        return await self.does(person, f"chooses “{label} …”", person.select(message, [value]))

    async def fills(self, shown: Any, by: Any = None, **values: Any) -> Any:
        """Have a member fill in and send a form; fields that are not named stay as they are."""
        person = by or self.world.member
        told = ", ".join(f"{name}: {_shown(value)}" for name, value in values.items()) or "nothing changed"
        return await self.does(
            person, f"sends the form with {told}", person.submit_modal(shown, filled_in(shown) | values)
        )

    async def right_clicks(self, menu: str, target: Any, by: Any = None) -> Any:
        """Have a member use a context menu of a message or of a member."""
        person = by or self.world.member
        what = f"right-clicks {name_of(target) if hasattr(target, 'name') else 'the message'} → Apps → {menu}"
        return await self.does(person, what, person.context_menu(self.world.channel, menu, target))

    def newest(self, viewer: Any = None) -> discord.Message:
        """Return the newest message that the viewer sees in the channel."""
        return self._history(viewer or self.world.member)[-1]

    def show_changes(self) -> None:
        """Write down the messages of the bot that are new, have changed or are gone."""
        current: dict[int, tuple[list[str], str]] = {}
        for person in self.people:
            for message in self._history(person):
                if not message.author.bot or message.id in current:
                    continue
                where = f" · only {name_of(person)} sees this" if message.flags.ephemeral else ""
                current[message.id] = self._rendered(message), where
            for message in _direct_messages(person):
                if message.author.bot:
                    current[message.id] = self._rendered(message), f" · to {name_of(person)}, as a direct message"
        for message_id, (lines, where) in current.items():
            if self._seen.get(message_id) != lines:
                again = ", changed" if message_id in self._seen else ""
                self._quote(f"**zimage**{where}{again}", lines)
        gone = [message_id for message_id in self._seen if message_id not in current]
        if gone:
            self._lines += ["", "*A message is gone.*" if len(gone) == 1 else f"*{len(gone)} messages are gone.*"]
        self._seen = {message_id: lines for message_id, (lines, _) in current.items()}

    def _visible(self) -> Iterator[discord.Message]:
        """Yield what people see in the channel; what several see comes several times."""
        for person in self.people:
            yield from self._history(person)

    def _history(self, person: Any) -> Sequence[discord.Message]:
        return self.world.channel.history(viewer=person)

    def _rendered(self, message: discord.Message) -> list[str]:
        components = [component.to_dict() for component in message.components]
        return [self._named(line) for line in message_lines(message, components)]

    def _modal(self, modal: dict[str, Any]) -> list[str]:
        return [self._named(line) for line in component_lines(modal["components"])]

    def _quote(self, head: str, lines: list[str]) -> None:
        self._lines += ["", f"> {head}  ", *(f"> {line}  " for line in lines)]

    def _named(self, text: str) -> str:
        names = {f"<@{person.id}>": f"@{name_of(person)}" for person in self.people}
        names |= {f"<#{self.world.channel.id}>": "#pictures", f"<@{self.world.env.bot.user.id}>": "@zimage"}
        return varying_replaced(text, names)


def name_of(person: Any) -> str:
    """Return a person's name without the number that makes it unique."""
    return str(person.name).rstrip("0123456789")


def _direct_messages(person: Any) -> Sequence[discord.Message]:
    channel = person.user.dm_channel
    return channel.history() if channel is not None else []


def _options(component: Any) -> list[discord.SelectOption]:
    return list(getattr(component, "options", []))


def _shown(value: Any) -> str:
    return str(getattr(value, "name", value))

"""The server of the playground: its channels and the people in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import discord

SERVER_NAME = "Playground"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom a visitor can be. ``member`` acts in the server, ``user`` in direct messages."""

    name: str
    title: str
    member: Any
    user: Any

    @property
    def id(self) -> int:
        return int(self.user.id)


@dataclass(frozen=True, slots=True)
class Place:
    """A channel that a visitor can look at; ``channel`` is None for the direct messages with the bot."""

    key: str
    name: str
    channel: Any


@dataclass(frozen=True, slots=True)
class Seat:
    """A person in a place: what one page shows."""

    person: Person
    place: Place

    @property
    def is_direct(self) -> bool:
        return self.place.channel is None

    @property
    def channel(self) -> Any:
        return self.person.user.dm_channel if self.is_direct else self.place.channel

    @property
    def viewer(self) -> Any:
        return self.person.user if self.is_direct else self.person.member


@dataclass(frozen=True, slots=True)
class Community:
    """The simulated server with its channels and people."""

    guild: Any
    people: tuple[Person, ...]
    places: tuple[Place, ...]

    def person(self, person_id: int) -> Person:
        """Return the person with a user id. Raises :class:`KeyError`."""
        return {person.id: person for person in self.people}[person_id]

    def place(self, key: str) -> Place:
        """Return the place with a key. Raises :class:`KeyError`."""
        return {place.key: place for place in self.places}[key]


def create_community(env: Any) -> Community:
    """Create the server on a simulated Discord: two channels, a member, a member with a role, and an admin."""
    guild = env.create_guild(name=SERVER_NAME)
    pictures = guild.create_text_channel("pictures", topic="Ask for pictures here: type /imagine")
    lounge = guild.create_text_channel("lounge", topic="Another channel, to see what is shown where")
    patron = guild.create_role("Patron", color=discord.Color.gold().value)
    admin = guild.create_role("Admin", permissions=discord.Permissions(administrator=True))
    people = tuple(
        Person(name, title, guild.add_member(user, roles=roles), user)
        for name, title, roles in (
            ("mira", "member", []),
            ("noor", "member with the role Patron", [patron]),
            ("ada", "admin", [admin]),
        )
        for user in (env.create_user(name),)
    )
    places = (
        Place("pictures", "pictures", pictures),
        Place("lounge", "lounge", lounge),
        Place("direct", "zimage-bot", None),
    )
    return Community(guild, people, places)

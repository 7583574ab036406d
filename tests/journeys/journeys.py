"""The journeys, each a conversation from beginning to end. :data:`JOURNEYS` has them by the name of their page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bot.playground.world import World
from tests.helpers.admins import admin_of, moderator_of
from tests.helpers.job_worlds import HeldUp, all_ended
from tests.helpers.toy_worker import Toy
from tests.helpers.worlds import OpenWorld, new_client
from tests.journeys.conversation import Conversation
from zimage_engine.types import Unit

PROMPT = "a red circle on a blue background"

_AT_ONCE = 1e-9
"""Seconds between edits of a card: SimCord's timers stand still while a job is held up."""

Journey = Callable[[OpenWorld], Awaitable[str]]


async def joined(world: World, channel: Any) -> None:
    """Tell the bot of a server whose system channel is ``channel``."""
    world.env.backend.edit_guild(channel.guild.id, {"system_channel_id": channel.id})
    await world.env.settle()
    for listener in world.env.bot.extra_events["on_guild_join"]:
        await listener(world.env.bot.get_guild(channel.guild.id))


async def first_contact(open_world: OpenWorld) -> str:
    """A member who has never seen the bot."""
    async with open_world() as world:
        talk = Conversation(world, "First contact", "Mira meets the bot in a channel, and then in a direct message.")
        bot = world.env.bot.user.mention
        await talk.types(f"{bot} hi")
        await talk.slash("help")
        await talk.slash("imagine", prompt=PROMPT, seed=7)
        await talk.types("nice, can it be green?", reply_to=talk.newest())
        await talk.dm("hi")
        await talk.dm("a yellow star on a black background")
        return talk.text


async def edit_the_second_of_four(open_world: OpenWorld) -> str:
    """The same edit by every way there is."""
    async with open_world() as world:
        talk = Conversation(
            world, "Edit the second of four", "Mira has four pictures, and wants the second one changed."
        )
        await talk.slash("imagine", prompt=PROMPT, count=4, seed=7)
        four = talk.newest()
        wish = "a green circle on a blue background --strength 0.9 --seed 1"

        talk.heading("A typed /edit")
        asked = await talk.slash("edit", prompt=wish)
        await talk.presses("2", asked.response)

        talk.heading("A reply")
        await talk.types(f"edit: {wish} --image 2", reply_to=four)
        await talk.types("edit: + at the left --image 2 --seed 1", reply_to=four)

        talk.heading("A reply with a mention")
        await talk.types(f"{world.env.bot.user.mention} {wish} --image 2", reply_to=four)

        talk.heading("A right click")
        form = await talk.right_clicks("Edit image", four)
        await talk.fills(form, which=["2"], prompt=wish)

        talk.heading("The button under the pictures")
        asked = await talk.presses("Edit", four)
        form = await talk.chooses("2", asked.response.message)
        await talk.fills(form, prompt=wish)

        talk.heading("The command, with the message's link")
        await talk.slash("edit", prompt=f"{wish} --image 2", source=four.jump_url)
        return talk.text


async def paste_from_midjourney(open_world: OpenWorld) -> str:
    """A prompt with another program's flags."""
    async with open_world() as world:
        talk = Conversation(world, "Paste from Midjourney", "Mira pastes what she has typed elsewhere for years.")
        await talk.slash("imagine", prompt=f"{PROMPT} --v 7 --stylize 250 --tile --chaos 20 --niji --seed 7")
        await talk.presses("Generate without them", talk.newest())
        await talk.slash("imagine", prompt=f"{PROMPT} --sede 5")
        await talk.presses("Generate", talk.newest())
        await talk.slash(
            "imagine", prompt="a red circle::2 on a (blue:1.3) background <lora:flat:0.8> —ar 3：2 --seed 7"
        )
        await talk.slash("imagine", prompt=f"{PROMPT} --steps 900 --ar wide --no blur")
        form = await talk.presses("Edit request", talk.newest())
        await talk.fills(form, prompt=PROMPT, flags="--seed 7")
        return talk.text


async def restart_while_five_wait(open_world: OpenWorld) -> str:
    """Requests over a restart of the program."""
    device = HeldUp(Unit.DECODE)
    async with open_world(device.wrap, shutdown_seconds=0.3, concurrent_jobs=1, progress_interval=_AT_ONCE) as world:
        talk = Conversation(world, "Restart while five wait", "Four pictures wait when the operator restarts the bot.")
        await talk.slash("imagine", prompt="a red circle", seed=0, held="100%")
        for number, thing in enumerate(("a green star", "a blue square", "a pink heart"), 1):
            await talk.slash("imagine", prompt=thing, seed=number, held=f"{number} of your own")
        talk.say("The operator restarts the bot. Mira asks once more at this very moment.")
        closing = asyncio.create_task(world.env.bot.services.suspend())
        await talk.slash("imagine", prompt="a yellow star", seed=4)
        await closing
        await world.env.bot.close()
        talk.show_changes()
        device.gate.set()
        talk.say("It is back.")
        # SimCord gives a new client five seconds for all that goes on at once, whatever else the machine does.
        settings = world.env.bot.settings
        await world.env.restart_bot(new_client(settings, lambda _: Toy(settings.data_dir)))
        await all_ended(world)
        talk.show_changes()
        return talk.text


async def out_of_credits(open_world: OpenWorld) -> str:
    """A member whose credits are used up."""
    async with open_world(credits_per_day=2) as world:
        talk = Conversation(world, "Out of credits", "Mira may use two credits a day here.")
        await talk.slash("imagine", prompt=PROMPT, seed=7, count=2)
        await talk.presses("Generate", talk.newest())
        await talk.slash("imagine", prompt="a green star on a white background --seed 3")
        await talk.slash("quota")
        return talk.text


async def admins_first_day(open_world: OpenWorld) -> str:
    """What an admin of a server does first."""
    async with open_world() as world:
        talk = Conversation(world, "An admin's first day", "Ada has just invited the bot to her server.")
        ada = talk.add(admin_of(world))
        moderator = talk.add(moderator_of(world))
        await joined(world, world.channel)
        talk.show_changes()

        talk.heading("Setting it up")
        setup = (await talk.slash("admin setup", by=ada)).response.message
        form = await talk.presses("Credits a day", setup, by=ada)
        await talk.fills(form, by=ada, credits="20")
        await talk.presses("Hide pictures until a click", setup, by=ada)
        await talk.presses("Forbid private pictures", setup, by=ada)

        talk.heading("A member asks")
        await talk.slash("imagine", prompt=PROMPT, seed=7, private=True)
        await talk.slash("imagine", prompt=PROMPT, seed=7)
        picture = talk.newest()

        talk.heading("Stepping in")
        menu = (await talk.right_clicks("Limits", world.member, by=ada)).response.message
        form = await talk.presses("Change limits", menu, by=ada)
        await talk.fills(form, by=ada, max_count="1")
        menu = (await talk.right_clicks("Moderate", picture, by=moderator)).response.message
        await talk.presses("Delete", menu, by=moderator)
        await talk.presses("Block for a day", menu, by=moderator)
        await talk.slash("imagine", prompt=PROMPT)
        await talk.slash("admin audit", by=ada)
        return talk.text


async def paused_server(open_world: OpenWorld) -> str:
    """An admin pauses the bot, and a member asks meanwhile."""
    device = HeldUp(Unit.DECODE)
    async with open_world(device.wrap, concurrent_jobs=1, progress_interval=_AT_ONCE) as world:
        talk = Conversation(
            world, "A paused server", "Mira has two pictures under way when Ada pauses the bot for a while."
        )
        ada = talk.add(admin_of(world))
        await talk.slash("imagine", prompt=PROMPT, seed=7, held="100%")
        await talk.slash("imagine", prompt="a green star on a white background", seed=3, held="1 of your own")
        await talk.slash("admin pause", by=ada, held="Paused by an admin")
        await talk.slash("imagine", prompt="a blue square", seed=5, held="--seed 5")
        await talk.slash("queue", held="2 requests")
        talk.say("The picture that was under way is finished.")
        device.gate.set()
        await world.env.settle()
        talk.show_changes()
        await talk.slash("admin resume", by=ada)
        await all_ended(world)
        talk.show_changes()
        return talk.text


JOURNEYS: dict[str, Journey] = {
    "first-contact": first_contact,
    "edit-the-second-of-four": edit_the_second_of_four,
    "paste-from-midjourney": paste_from_midjourney,
    "restart-while-five-wait": restart_while_five_wait,
    "out-of-credits": out_of_credits,
    "admins-first-day": admins_first_day,
    "paused-server": paused_server,
}

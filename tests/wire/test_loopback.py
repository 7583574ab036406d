"""The loopback Discord against discord.py's own client, without the bot: what other tests rely on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BytesIO
from pathlib import Path

import discord
import pytest

from tests.helpers.loopback import (
    ANNOUNCEMENTS,
    CHANNEL,
    FORUM,
    FORUM_POST,
    GUILD,
    MEMBER,
    TEXT_CHANNELS,
    THREAD,
    TOKEN,
    VOICE,
    Loopback,
    open_loopback,
)
from tests.helpers.loopback.openapi import DOCUMENT
from tests.helpers.pictures import photo
from tests.helpers.waiting import until

MESSAGES = f"channels/{CHANNEL}/messages"


class Client(discord.Client):
    """Collects the interactions and messages that reach it."""

    def __init__(self, intents: discord.Intents) -> None:
        super().__init__(intents=intents, guild_ready_timeout=0.05)
        self.interactions: list[discord.Interaction] = []
        self.heard: list[discord.Message] = []
        self.resumes = 0

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        self.interactions.append(interaction)

    async def on_message(self, message: discord.Message) -> None:
        if message.author != self.user:
            self.heard.append(message)

    async def on_resumed(self) -> None:
        self.resumes += 1

    async def next_interaction(self) -> discord.Interaction:
        await until(lambda: bool(self.interactions), 5)
        return self.interactions.pop(0)

    def place(self, channel_id: str) -> discord.TextChannel:
        found = self.get_guild(int(GUILD)).get_channel_or_thread(int(channel_id))  # type: ignore[union-attr]
        assert found is not None
        return found  # type: ignore[return-value]


@pytest.fixture
async def loopback(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Loopback]:
    async with open_loopback(monkeypatch) as opened:
        yield opened


@pytest.fixture
async def client(loopback: Loopback) -> AsyncIterator[Client]:
    client = Client(discord.Intents.default())
    running = asyncio.create_task(client.start(TOKEN))
    await until(client.is_ready)
    yield client
    await client.close()
    await running


@pytest.mark.parametrize("channel", [*TEXT_CHANNELS, ANNOUNCEMENTS, FORUM_POST, THREAD, VOICE])
async def test_a_message_with_a_file_can_be_sent_read_edited_and_deleted_in_every_kind_of_channel(
    loopback: Loopback, client: Client, channel: str
) -> None:
    place = client.place(channel)
    sent = await place.send("hello", file=discord.File(BytesIO(photo()), "a.png", description="a circle"))
    read = await place.fetch_message(sent.id)
    assert (read.content, read.attachments[0].description) == ("hello", "a circle")
    assert await read.attachments[0].read() == photo()
    assert (read.attachments[0].width, read.created_at.year) == (256, discord.utils.utcnow().year)
    await sent.edit(content="bye", attachments=[*sent.attachments, discord.File(BytesIO(b"x"), "b.txt")])
    assert [(each.content, len(each.attachments)) for each in loopback.seen(channel)] == [("bye", 2)]
    await sent.edit(attachments=[])
    assert loopback.seen(channel)[0].attachments == ()
    await sent.delete()
    assert loopback.seen(channel) == []
    assert [entry.what for entry in loopback.state.record] == ["posted", "edited", "edited", "deleted"]


async def test_history_is_paged_both_ways(client: Client) -> None:
    place = client.place(CHANNEL)
    sent = [await place.send(str(number)) for number in range(5)]
    newest = [message.content async for message in place.history(limit=2)]
    older = [message.content async for message in place.history(limit=2, before=sent[2])]
    newer = [message.content async for message in place.history(limit=2, after=sent[2])]
    assert (newest, older, newer) == (["4", "3"], ["1", "0"], ["3", "4"])


async def test_a_nonce_makes_one_message_until_it_is_forgotten(loopback: Loopback, client: Client) -> None:
    place = client.place(CHANNEL)
    first, again = await place.send("one", nonce="n1"), await place.send("one", nonce="n1")
    assert first.id == again.id
    loopback.state.forget_nonces()
    assert (await place.send("one", nonce="n1")).id != first.id
    assert len(loopback.seen()) == 2


async def test_direct_messages_can_be_closed(loopback: Loopback, client: Client) -> None:
    channel = await client.create_dm(discord.Object(int(MEMBER)))
    await channel.send("hello")
    loopback.close_direct_messages(MEMBER)
    with pytest.raises(discord.Forbidden, match="50007"):
        await channel.send("hello again")
    assert [message.content for message in loopback.seen(str(channel.id))] == ["hello"]


@pytest.mark.parametrize(
    ("lacking", "code"),
    [("view_channel", 50001), ("send_messages", 50013), ("attach_files", 50013), ("read_message_history", 160002)],
)
async def test_a_missing_permission_is_refused_and_known_to_the_client(
    loopback: Loopback, client: Client, lacking: str, code: int
) -> None:
    asked = await loopback.say("hello <@1000>")
    await until(lambda: bool(client.heard))
    loopback.deny(CHANNEL, lacking)
    place = client.place(CHANNEL)
    await until(lambda: not getattr(place.permissions_for(place.guild.me), lacking))
    with pytest.raises(discord.Forbidden, match=str(code)):
        await place.send("hi", file=discord.File(BytesIO(b"x"), "x.png"), reference=client.heard[0])
    assert loopback.seen() == [asked]


async def test_a_deleted_channel_is_unknown_and_takes_its_threads_along(loopback: Loopback, client: Client) -> None:
    place, thread = client.place(CHANNEL), client.place(THREAD)
    loopback.delete_channel(CHANNEL)
    for gone in (place, thread):
        with pytest.raises(discord.NotFound, match="10003"):
            await gone.send("hello")
    await until(lambda: place.guild.get_channel(int(CHANNEL)) is None)


async def test_sending_unarchives_a_thread_and_editing_does_not(loopback: Loopback, client: Client) -> None:
    thread = client.place(THREAD)
    sent = await thread.send("hello")
    loopback.archive(THREAD)
    await until(lambda: thread.guild.get_thread(int(THREAD)) is None)
    with pytest.raises(discord.HTTPException, match="50083"):
        await sent.edit(content="bye")
    found = await client.fetch_channel(int(THREAD))
    assert isinstance(found, discord.Thread)
    assert found.archived
    await found.send("again")
    await until(lambda: thread.guild.get_thread(int(THREAD)) is not None)
    loopback.archive(THREAD, locked=True)
    with pytest.raises(discord.Forbidden, match="160005"):
        await found.send("once more")


async def test_a_forum_itself_takes_no_messages(client: Client) -> None:
    with pytest.raises(discord.HTTPException, match="50008"):
        await client.get_partial_messageable(int(FORUM)).send("hello")


async def test_a_file_over_the_limit_is_40005(loopback: Loopback, client: Client) -> None:
    loopback.state.upload_limit = 10
    with pytest.raises(discord.HTTPException, match="40005") as caught:
        await client.place(CHANNEL).send(file=discord.File(BytesIO(b"x" * 11), "x.png"))
    assert caught.value.status == 413


async def test_a_private_response_is_seen_by_its_member_alone(loopback: Loopback, client: Client) -> None:
    token = await loopback.command("imagine", prompt="a cat", count=2, private=True)
    interaction = await client.next_interaction()
    shown_to = await interaction.response.send_message("drawing", ephemeral=True)
    assert loopback.seen(member=MEMBER)[0].content == "drawing"
    assert loopback.seen(member="4001") == []
    with pytest.raises(discord.NotFound, match="10008"):
        await client.place(CHANNEL).fetch_message(shown_to.message_id or 0)
    await interaction.edit_original_response(content="done")
    assert loopback.seen()[0].content == "done"
    assert (await interaction.original_response()).content == "done"
    await interaction.followup.send("more")
    loopback.expire(token)
    with pytest.raises(discord.HTTPException, match="50027") as caught:
        await interaction.edit_original_response(content="late")
    assert caught.value.status == 401
    loopback.expire(token, unknown=True)
    with pytest.raises(discord.NotFound, match="10015"):
        await interaction.delete_original_response()


async def test_a_second_answer_is_40060_and_a_late_one_10062(loopback: Loopback, client: Client) -> None:
    await loopback.command("ping")
    interaction = await client.next_interaction()
    await interaction.response.send_message("pong")
    interaction.response._response_type = None
    with pytest.raises(discord.HTTPException, match="40060"):
        await interaction.response.send_message("pong")
    await loopback.command("ping", late=True)
    late = await client.next_interaction()
    with pytest.raises(discord.NotFound, match="10062"):
        await late.response.send_message("pong")


async def test_the_first_follow_up_after_a_public_defer_is_public(loopback: Loopback, client: Client) -> None:
    await loopback.command("ping")
    interaction = await client.next_interaction()
    await interaction.response.defer()
    await interaction.followup.send("for you alone", ephemeral=True)
    assert [message.content for message in loopback.seen(member="4001")] == ["for you alone"]


async def test_buttons_forms_menus_and_choices_reach_the_client(loopback: Loopback, client: Client) -> None:
    view = discord.ui.View()
    view.add_item(discord.ui.Button(label="Edit", custom_id="edit"))
    sent = await client.place(CHANNEL).send("a picture", view=view)
    token = await loopback.click(loopback.seen()[0], "edit", member="4002")
    clicked = await client.next_interaction()
    assert (clicked.user.name, clicked.message and clicked.message.id) == ("cleo", sent.id)
    modal = discord.ui.Modal(title="Edit", custom_id="form")
    modal.add_item(discord.ui.Label(text="Prompt", component=discord.ui.TextInput(custom_id="prompt")))
    await clicked.response.send_modal(modal)
    await loopback.fill_in(token, prompt="a dog")
    form = await client.next_interaction()
    assert form.data["components"][0]["component"]["value"] == "a dog"  # type: ignore[index,typeddict-item]
    await form.response.edit_message(content="edited")
    assert loopback.seen()[0].content == "edited"
    await loopback.context_menu("Edit image", loopback.seen()[0])
    menu = await client.next_interaction()
    assert menu.data["target_id"] == str(sent.id)  # type: ignore[index,typeddict-item]
    await loopback.complete("edit", "source", "ab")
    typed = await client.next_interaction()
    assert typed.type is discord.InteractionType.autocomplete


async def test_an_attachment_option_can_be_downloaded(loopback: Loopback, client: Client) -> None:
    await loopback.command("edit", prompt="a dog", image=photo())
    interaction = await client.next_interaction()
    (attachment,) = interaction.data["resolved"]["attachments"].values()  # type: ignore[index,typeddict-item]
    assert await client.http.get_from_cdn(attachment["url"]) == photo()


async def test_texts_reach_the_client_where_discord_lets_them(loopback: Loopback, client: Client) -> None:
    ours = await client.place(CHANNEL).send("a picture")
    await loopback.command("ping")
    await (await client.next_interaction()).response.send_message("pong")
    ordinary, response = loopback.seen()
    assert str(ours.id) == ordinary.id
    direct = str((await client.create_dm(discord.Object(int(MEMBER)))).id)
    await loopback.say("just chatting")
    await loopback.say("edit: a dog", reply_to=response)
    await loopback.say("edit: a cat", reply_to=ordinary)
    await loopback.say("<@1000> a bird")
    await loopback.say("edit: a fish", channel=direct)
    await until(lambda: len(client.heard) == 5)
    assert [message.content for message in client.heard] == ["", "", "edit: a cat", "<@1000> a bird", "edit: a fish"]
    assert client.heard[2].reference is not None
    assert client.heard[2].reference.message_id == ours.id


async def ask_and_close(patch: pytest.MonkeyPatch, ask: Callable[[discord.Client], Awaitable[object]]) -> None:
    """Make one request that is refused, on a loopback that is closed after it."""
    async with open_loopback(patch):
        client = discord.Client(intents=discord.Intents.none())
        await client.login(TOKEN)
        with pytest.raises(discord.HTTPException):
            await ask(client)
        await client.close()


async def test_a_body_that_discord_does_not_allow_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match=r"POST .+content: maxLength"):
        await ask_and_close(monkeypatch, lambda client: client.get_partial_messageable(int(CHANNEL)).send("x" * 4001))


async def test_a_path_that_discord_does_not_have_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(client: discord.Client) -> None:
        await client.http.request(discord.http.Route("GET", "/channels/3000/pictures"))

    with pytest.raises(AssertionError, match="not in Discord's document"):
        await ask_and_close(monkeypatch, ask)


def test_the_document_stands_in_the_repository_with_its_licence() -> None:
    assert "MIT" in (DOCUMENT.parent / "LICENSE").read_text(encoding="utf-8")
    assert Path(DOCUMENT).stat().st_size > 10**6

"""Cards without a job: taken over by it, ended by the next process, or forgotten."""

from __future__ import annotations

from functools import partial

from bot.store import jobs, open_cards, privacy
from bot.store.accounts import DAY
from bot.store.database import Database
from bot.store.open_cards import OpenCard
from bot.store.reply_tokens import ReplyToken

CARD = OpenCard(1, 5, 6, 7, "private", "a red circle", ReplyToken(2, "secret", 99))


async def left_over(database: Database) -> list[OpenCard]:
    return await database.read(open_cards.left_over)


async def test_a_card_is_known_until_it_is_closed(database: Database) -> None:
    await database.write(partial(open_cards.open_card, card=CARD, now=10))
    assert await left_over(database) == [CARD]
    await database.write(partial(open_cards.sent, event_id=1, message_id=8))
    (card,) = await left_over(database)
    assert card.message_id == 8
    assert await database.write(partial(open_cards.close, event_id=1)) == 8
    assert await database.write(partial(open_cards.close, event_id=1)) is None
    assert await left_over(database) == []


async def test_the_job_of_its_event_takes_the_card_over_in_the_transaction_that_inserts_it(database: Database) -> None:
    await database.write(partial(open_cards.open_card, card=CARD, now=10))
    await database.write(partial(open_cards.sent, event_id=1, message_id=8))
    new = jobs.NewJob(1, 5, 6, 6, 7, "private", "edit", "{}", 100, (("i", 1),), "n", CARD.reply, 11)
    await database.write(partial(jobs.insert, new=new))
    assert await left_over(database) == []
    (row,) = await database.query("SELECT progress_message_id FROM jobs")
    assert row["progress_message_id"] == 8


async def test_cards_go_with_their_member_and_with_age(database: Database) -> None:
    await database.write(partial(open_cards.open_card, card=CARD, now=10))
    await database.write(partial(open_cards.drop_old, now=9 + DAY))
    assert len(await left_over(database)) == 1
    await database.write(partial(privacy.forget_member, member_id=5, now=20))
    assert await left_over(database) == []
    await database.write(partial(open_cards.open_card, card=CARD, now=10))
    await database.write(partial(open_cards.drop_old, now=10 + DAY))
    assert await left_over(database) == []

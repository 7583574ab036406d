"""What the page makes of the bot's answers."""

from __future__ import annotations

from tests.helpers.pages import Page


async def test_a_refused_command_is_sent_all_the_same(page: Page) -> None:
    receipt = await page.slash("imagine", prompt="a red circle --steps 0")
    assert receipt["settlement"] == "settled", receipt  # else the page keeps the command in the composer
    assert "steps" in (await page.messages())[-1]["content"]

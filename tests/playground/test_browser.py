"""The playground as a person uses it: the real process, and its page in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.browser import Pick, Tab, find_browser, open_browser, seen_in
from tests.helpers.playground_process import open_process

pytestmark = pytest.mark.system  # a real browser

PROMPT = "a red circle on a blue background"
BY_FORM = "a green circle on a blue background"
BY_REPLY = "a yellow circle on a blue background"
RESTARTED = "a green square on a white background"
SLOWLY = "a white square on a black background"
NOTHING_QUEUED = "You have nothing in the queue."
REFUSED = "You have no credits here: ask an admin for some."


async def test_a_visit_in_a_browser(tmp_path: Path) -> None:
    async with open_process(tmp_path) as playground, open_browser(find_browser(), tmp_path) as browser:
        context = await browser.new_context()
        mira, ada = Tab(await context.new_page()), Tab(await context.new_page())
        await mira.open(await playground.link())
        assert playground.cpu_seconds < 10, "two on a quiet machine: the page does not wait for the model"
        await mira.bot_is("ready")
        assert playground.cpu_seconds < 30, "ten on a quiet machine"
        await generates_and_edits(mira)
        await shows_the_whole_details(mira)
        await ada.open(await playground.link())
        await ada.become("ada")
        await sees_results_but_not_private_answers(mira, ada)
        await limits(ada, mira)
        await restarts_in_the_middle(ada)
        assert mira.problems + ada.problems == []
        assert len(playground.folders) == 1
        status, seconds, left = await playground.interrupt()
        assert (status, left, playground.folders) == (0, [], [])
        assert seconds < 4, "it ends within two seconds on a quiet machine"


async def generates_and_edits(mira: Tab) -> None:
    await mira.command("imagine", {"prompt": PROMPT, "seed": "3"})
    result = await mira.result(PROMPT)
    assert await seen_in(result) == ("circle", "red", "blue")
    await mira.press(result, "Edit")
    await mira.fill_form(prompt=f"{BY_FORM} --seed 3", strength="1")
    assert await seen_in(await mira.result(BY_FORM)) == ("circle", "green", "blue")
    await mira.reply(result, f"edit: {BY_REPLY} --seed 3 --strength 1")
    assert await seen_in(await mira.result(BY_REPLY)) == ("circle", "yellow", "blue")
    await mira.command("imagine", {"prompt": f"{SLOWLY} --size large --steps 20"})
    await mira.press(await mira.said(SLOWLY), "Generate")
    shown = await mira.progress(SLOWLY)
    assert len(shown) >= 2, shown


async def shows_the_whole_details(mira: Tab) -> None:
    await mira.press(await mira.result(BY_REPLY), "More…")
    await mira.press(await mira.said("What about this picture"), "Details")
    details = (await mira.said("--strength 1")).locator(".code-block")
    assert await details.evaluate("block => block.scrollWidth <= block.clientWidth"), "the line is wrapped"


async def sees_results_but_not_private_answers(mira: Tab, ada: Tab) -> None:
    await mira.command("queue")
    await mira.said(NOTHING_QUEUED)
    assert await seen_in(await ada.result(BY_REPLY)) == ("circle", "yellow", "blue")
    assert await ada.messages.filter(has_text=NOTHING_QUEUED).count() == 0


async def limits(ada: Tab, mira: Tab) -> None:
    await ada.command("admin limits set", {"target": Pick("mira"), "limit": Pick("Credits, last 24 h"), "value": "0"})
    await ada.said("@mira · Credits, last 24 h: 0.")
    await mira.command("imagine", {"prompt": PROMPT})
    await mira.said(REFUSED)


async def restarts_in_the_middle(ada: Tab) -> None:
    await ada.try_out("restart")
    await ada.noted("The bot is closed in the middle of the picture")
    assert await seen_in(await ada.result(RESTARTED)) == ("square", "green", "white")
    await ada.noted("a restart loses no request")

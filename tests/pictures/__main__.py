"""``python -m tests.pictures``: visits the playground in a browser, and writes what README and docs show of it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, Locator, Page

from tests.helpers.browser import Pick, Tab, find_browser, open_browser
from tests.helpers.playground_process import ROOT, PlaygroundProcess, open_process
from tests.pictures.recording import record

IMAGES = ROOT / "docs" / "images"
WINDOW = (860, 660)
PHONE = (390, 720)
PROMPT = "a red circle on a blue background"
EDITED = "a green circle on a blue background"
RESTARTED = "a green square on a white background"
WAITING = ("a yellow star on a black background", "a blue square on a white background")
_LOOK_MS = 1000
_LAST_LOOK_MS = 2000


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="zimage-pictures-") as name:
        folder = Path(name)
        async with open_process(folder) as playground, open_browser(find_browser(), folder) as browser:
            tab = await _open(browser, playground, WINDOW)
            await tab.bot_is("ready")
            await _save(tab.page, "playground-start")
            await _record_a_visit(tab)
            phone = await _open(browser, playground, PHONE)
            await phone.result(RESTARTED)
            await phone.page.wait_for_timeout(_LOOK_MS)
            await _save(phone.page, "playground-phone")
            await phone.page.close()
            await _show_private_answers(tab)
            await _show_limits(tab)


async def _record_a_visit(tab: Tab) -> None:
    """/imagine, an edit by the form, and a restart in the middle of a picture."""
    async with record(tab.page) as recording:
        await tab.page.wait_for_timeout(_LOOK_MS)
        recording.hold(_LOOK_MS)
        await tab.command("imagine", {"prompt": PROMPT})
        result = await tab.result(PROMPT)
        await tab.page.wait_for_timeout(_LOOK_MS)
        recording.hold(_LOOK_MS)
        await _save(tab.page, "playground-result")
        await tab.press(result, "Edit")
        form = tab.page.locator('#modal-root [data-custom-id="prompt"] .modal-input')
        await form.fill(EDITED)
        await tab.page.wait_for_timeout(_LOOK_MS)
        recording.hold(_LOOK_MS)
        await _save(tab.page, "playground-edit")
        await tab.fill_form(prompt=EDITED)
        await tab.result(EDITED)
        await tab.page.wait_for_timeout(_LOOK_MS)
        recording.hold(_LOOK_MS)
        await tab.try_out("restart")
        await tab.noted("The bot is closed in the middle of the picture")
        await tab.page.wait_for_timeout(_LOOK_MS)
        recording.hold(_LOOK_MS)
        await tab.result(RESTARTED)
        await tab.page.wait_for_timeout(_LOOK_MS)
        recording.hold(_LAST_LOOK_MS)
    await asyncio.to_thread(recording.save, IMAGES / "playground.webp")


async def _show_private_answers(tab: Tab) -> None:
    """/queue and /quota, while requests wait for a slow device."""
    await tab.switch_fault("slow_device")
    for prompt in WAITING:
        await tab.command("imagine", {"prompt": prompt, "count": "2"})
    await tab.command("queue")
    await _save(await tab.said("2 requests of yours"), "playground-queue")
    await tab.command("quota")
    await _save(await tab.said("Your limits in this server"), "playground-quota")
    await tab.switch_fault("slow_device")


async def _show_limits(tab: Tab) -> None:
    """What an admin is told about the limits that they have set."""
    await tab.become("ada")
    for target, value in (("Patron", "40"), ("mira", "10")):
        options = {"target": Pick(target), "limit": Pick("Credits, last 24 h"), "value": value}
        await tab.command("admin limits set", options)
    await tab.command("admin limits show")
    await _save(await tab.said("The defaults: "), "playground-limits")


async def _open(browser: Browser, playground: PlaygroundProcess, size: tuple[int, int]) -> Tab:
    width, height = size
    tab = Tab(await browser.new_page(viewport={"width": width, "height": height}))
    await tab.open(await playground.link())
    return tab


async def _save(shown: Page | Locator, name: str) -> None:
    """Save what is shown as a lossless WebP."""
    picture = Image.open(BytesIO(await shown.screenshot())).convert("RGB")
    path = IMAGES / f"{name}.webp"
    await asyncio.to_thread(picture.save, path, lossless=True, method=6)
    sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    asyncio.run(main())

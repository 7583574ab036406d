"""The playground's page in a real browser: what a person does in a tab, and what they see."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser, Locator, Page, async_playwright

from training.reading import read

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
_WAIT_SECONDS = 120.0
_FAILED_STATUS = 400
_PICTURE = "img.attachment-image:not(.pg-old)"
_LOADED = "image => image.naturalWidth || new Promise(done => image.addEventListener('load', () => done()))"
_SCROLL_TO = "image => image.scrollIntoView({block: 'center'})"
_CORNERS = "image => (({left, top, right, bottom}) => [left, top, right, bottom])(image.getBoundingClientRect())"
_GENERATION = "window.simcordPreview.contextGeneration"
_ATTEMPTS = 20
_LOADING_MS = 300
_MOVING_MS = 250
_ROUND = 8  # pixels; pictures on the page have round corners
_PERCENT = re.compile(r"\d+ ?%")
_RESULT = re.compile(r"seed \d+ ·")  # stands under each finished picture, and in no progress card


def find_browser() -> str:
    """Return the path of an installed Chromium or Chrome. Skips the test if there is none; fails it in CI."""
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    if os.environ.get("BROWSER_REQUIRED"):
        pytest.fail("Chromium is not installed, and BROWSER_REQUIRED is set.")
    pytest.skip("Chromium is not installed: apt-get install chromium")


@asynccontextmanager
async def open_browser(path: str, folder: Path) -> AsyncIterator[Browser]:
    """Start a browser without a window; closes it at the end. After a failure ``folder`` shows what each tab showed."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        except BaseException:
            pages = [page for context in browser.contexts for page in context.pages]
            for number, page in enumerate(pages, start=1):
                await page.screenshot(path=folder / f"tab-{number}.png")
            raise
        finally:
            await browser.close()


class Pick(str):
    """An option's value that is chosen from the list under what is typed: a person, a role, or a choice."""

    __slots__ = ()


class Tab:
    """One tab that shows the playground. ``problems`` lists errors of its console and its failed requests."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.set_default_timeout(_WAIT_SECONDS * 1000)
        page.on("console", lambda said: said.type == "error" and self.problems.append(said.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on(
            "response", lambda got: got.status >= _FAILED_STATUS and self.problems.append(f"{got.status} {got.url}")
        )
        # The page gives up reading its state when somebody acts: that is no failure.
        page.on("requestfailed", lambda lost: self._note_failure(lost.url, lost.failure))

    def _note_failure(self, url: str, failure: str | None) -> None:
        if failure != "net::ERR_ABORTED":
            self.problems.append(f"{failure} {url}")

    @property
    def messages(self) -> Locator:
        """The messages of the channel, the oldest first."""
        return self.page.locator(".channel-message")

    async def open(self, link: str) -> None:
        """Open the link, and wait until a message can be typed."""
        await self.page.goto(link)
        await self.page.locator("#channel-composer-input").wait_for()

    async def become(self, name: str) -> None:
        """Look at the channel as another person."""
        before = await self.page.evaluate(_GENERATION)
        await self.page.locator(f'#pg-people [data-person="{name}"]').click()
        while await self.page.evaluate(_GENERATION) <= before:  # the page forbids wait_for_function's eval
            await self.page.wait_for_timeout(_MOVING_MS)

    async def bot_is(self, state: str) -> None:
        """Wait until the page shows the bot in this state, such as ready; one of less than a second is not shown."""
        await self.page.locator(f'#pg-bot-state[data-state="{state}"]').wait_for()

    async def noted(self, text: str) -> None:
        """Wait until the page itself says this above the composer."""
        await self.page.locator("#pg-note", has_text=text).wait_for()

    # Commands.

    async def begin(self, command: str) -> None:
        """Type the command's name, and choose it in the picker."""
        composer = self.page.locator("#channel-composer-input")
        offered = self.page.locator(".command-entry.is-active", has_text=f"/{command}")
        for _ in range(_ATTEMPTS):  # what is typed before the page has loaded the commands is offered none
            await composer.fill("")
            await composer.press_sequentially(f"/{command}", delay=20)
            await self.page.wait_for_timeout(_LOADING_MS)
            if await offered.count():
                break
        await offered.wait_for()
        await self.page.keyboard.press("Tab")
        await self.page.locator(".command-chip", has_text=f"/{command}").wait_for()

    async def set_option(self, name: str, value: str) -> None:
        """Fill in an option of the command that is being typed; adds it first if it is optional."""
        field = self.page.locator(f'.command-option-input[data-option="{name}"]')
        if not await field.count():
            await self.page.locator(".command-ghost").click()
            await self.page.locator(f'.command-suggestion[data-value="{name}"]').click()
        await field.click()
        await field.press_sequentially(value, delay=5)
        if isinstance(value, Pick):
            await self.page.locator(".command-suggestion", has_text=value).first.click()

    async def send_command(self) -> None:
        """Send what is being typed, and wait until it has been taken."""
        await self.page.locator("#send-message").click()
        await self.page.locator("#channel-composer-input").wait_for()

    async def command(self, name: str, options: Mapping[str, str] | None = None) -> None:
        """Use a slash command with options, as a person types it."""
        await self.begin(name)
        for option, value in (options or {}).items():
            await self.set_option(option, value)
        await self.send_command()

    # Messages.

    async def result(self, prompt: str) -> Locator:
        """Wait for a finished picture with this prompt. Returns its message, the newest if there are more."""
        message = self.messages.filter(has_text=prompt).filter(has_text=_RESULT).last
        await message.locator(_PICTURE).first.evaluate(_LOADED)
        return message

    async def progress(self, prompt: str) -> list[str]:
        """Wait for the finished picture. Returns the percentages that the card showed meanwhile."""
        shown: list[str] = []
        while not await self.messages.filter(has_text=prompt).filter(has_text=_RESULT).count():
            for percent in _PERCENT.findall(" ".join(await self.messages.filter(has_text=prompt).all_inner_texts())):
                if percent not in shown:
                    shown.append(percent)
            await self.page.wait_for_timeout(50)
        return shown

    async def said(self, text: str) -> Locator:
        """Wait for a message with this text. Returns it, the newest if there are more."""
        message = self.messages.filter(has_text=text).last
        await message.wait_for()
        return message

    async def press(self, message: Locator, button: str) -> None:
        """Press a button of a message."""
        await message.get_by_role("button", name=button, exact=True).click()

    async def fill_form(self, **fields: str) -> None:
        """Fill in the open form and submit it. The fields are named as the bot names them."""
        form = self.page.locator("#modal-root form")
        for name, value in fields.items():
            await form.locator(f'[data-custom-id="{name}"] .modal-input').fill(value)
        await form.get_by_role("button", name="Submit").click()
        await form.wait_for(state="detached")

    async def reply(self, message: Locator, text: str) -> None:
        """Reply to a message."""
        await message.hover()
        await message.get_by_role("button", name="Reply", exact=True).click()
        await self.page.locator("#reply-context").wait_for()
        await self.page.locator("#channel-composer-input").press_sequentially(text, delay=5)
        await self.page.locator("#send-message").click()

    async def switch_fault(self, fault: str) -> None:
        """Switch a fault on or off in the panel."""
        await self.page.locator("#pg-faults-open").click()
        await self.page.locator(f"#pg-faults [data-fault={fault}]").click()
        await self.page.keyboard.press("Escape")

    async def try_out(self, trial: str) -> None:
        """Click one of the things to try, which the page offers first: prompt, midjourney or restart."""
        button = self.page.locator(f'#pg-try [data-try="{trial}"]')
        if not await button.is_visible():
            await self.page.locator("#pg-try-open").click()
        await button.click()


async def seen_in(message: Locator) -> tuple[str | None, str | None, str]:
    """Return shape, colour and background of a message's first picture, from the pixels of the screen."""
    page = message.page
    for _ in range(_ATTEMPTS):  # messages still move while others come and go
        # It floats over the pictures, and may vanish at any moment: looked at and pressed in one step.
        await page.locator("#new-messages").evaluate("button => button.hidden || button.click()")
        await message.locator(_PICTURE).first.evaluate(_SCROLL_TO)
        left, top, right, bottom = await message.locator(_PICTURE).first.evaluate(_CORNERS)
        screen = Image.open(BytesIO(await page.screenshot())).convert("RGB")
        reading = read(screen.crop((left + _ROUND, top + _ROUND, right - _ROUND, bottom - _ROUND)))
        if reading.shape is not None:
            break
        await page.wait_for_timeout(_MOVING_MS)
    return reading.shape, reading.colour, reading.background

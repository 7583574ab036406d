"""The texts that people read: what counts as one, and words that none of them has."""

from __future__ import annotations

import re

import pytest

from bot.store.limits import LIMIT_NAMES
from tests.texts import every_text, texts_of

SOURCE = '''
"""A module's docstring is not shown."""
log = get_logger(__name__)
_LABELS: dict[What, str] = {"more": "More…"}
_PATTERN = re.compile(r"an a or a b")
GREETING = "Hello there"
"""What is said at first is not shown either."""

def told(name: Literal["one of two"], count: int) -> str:
    """Return a text: this is not shown."""
    log.info("an event of the log", reason="for a developer")
    assert count, "an assertion is for developers"
    run("SELECT name FROM people WHERE id = ?")
    if count == 1:
        raise Refusal(f"There is no picture of {name or 'this name'}.")
    raise ValueError("for a developer")

@app.command(help="Say it")
def say() -> None:
    """Say what it is."""
    Button(label="Again", custom_id="zib:again")
'''


def test_a_text_is_what_reaches_a_person() -> None:
    assert [text.text for text in texts_of(SOURCE, "module.py")] == [
        "More…",
        "Hello there",
        "There is no picture of {…}.",
        "this name",
        "Say it",
        "Say what it is.",
        "Again",
    ]


DENIED = {
    r"\bdr(aw|aws|awn|awing|awings|ew)\b": "a picture is generated",
    r"\b(may be drawn|nobody's|what holds|never mind|mend|afresh|anew|brought back)\b": "say it plainly",
    r"\b(in|into) line\b": "requests wait in the queue",
    r"(?<!here )\bis no (?!longer\b|more\b|flag$)": "is not a …",
    r"\(s\)": "counted() knows the plural",
    r"\}x\{": "× stands between the sides of a size",
    r"(?<![{`_.])\b(" + "|".join(LIMIT_NAMES) + r")\b": "a limit has a title",
}
IMAGE = re.compile(r"(?<!--)(?<!`)(?<!Edit )(?<!either )\bimages?\b(?! (option|decoder|encoder))", re.IGNORECASE)
FOR_THE_OPERATOR = ("bot/cli/", "bot/settings.py", "bot/data_settings.py", "bot/services.py", "zimage_engine/")


@pytest.mark.parametrize("pattern", DENIED)
def test_no_text_has_a_word_that_people_stumble_over(pattern: str) -> None:
    found = [text for text in every_text() if re.search(pattern, text.text, re.IGNORECASE)]
    assert found == [], DENIED[pattern]


def test_people_read_of_pictures() -> None:
    found = [text for text in every_text() if IMAGE.search(text.text) and not text.module.startswith(FOR_THE_OPERATOR)]
    assert found == [], "an image is an option, a file or a part of the model"

"""``docs/engine-api.md`` is what the docstrings of ``zimage_engine`` say, and has all that the package exports."""

from __future__ import annotations

import re

import zimage_engine
from tests.engine_api import PAGE, SECTIONS, documented, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.engine_api"


def test_the_page_has_every_name_that_the_package_exports_once() -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(zimage_engine.__all__)


def test_every_name_on_the_page_is_there() -> None:
    for name in documented():
        owner, _, member = name.partition(".")
        found = getattr(zimage_engine, owner)
        # A dataclass's fields are attributes of the class, since it has slots; those of the others are properties.
        assert not member or hasattr(found, member), name


def test_nothing_on_the_page_lacks_a_docstring() -> None:
    text = page()
    assert re.findall(r"`: *$", text, re.MULTILINE) == [], "a property"
    assert re.findall(r"\|\s*\|$", text, re.MULTILINE) == [], "an error or a constant"
    assert re.findall(r"```\n\n+(?:#|$)", text) == [], "a class, a method or a function"


def test_every_link_on_the_page_has_its_heading() -> None:
    text = page()
    headings = {
        title.replace(".", "").replace(" ", "-").lower() for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings
    assert re.findall(r":\w+:`", text) == [], "a role of reStructuredText"

"""requirements.lock against pyproject.toml and constraints.txt. CI asks PyPI whether the hashes are its own."""

from __future__ import annotations

import re
import tomllib

from tests.helpers.documents import page

ENTRY = re.compile(r"^([\w.-]+)==([^ \\\n]+)[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, str]:
    return {normal(name): version for name, version, _ in ENTRY.findall(page("requirements.lock"))}


def test_every_line_of_the_lock_is_a_version_with_hashes() -> None:
    rest = ENTRY.sub("", page("requirements.lock"))
    assert [line for line in rest.splitlines() if not line.startswith("#")] == []


def test_the_lock_has_what_the_project_needs_in_the_versions_that_are_tested() -> None:
    needed = tomllib.loads(page("pyproject.toml"))["project"]["dependencies"]
    names = {normal(re.split(r"[<>=\[ ]", each)[0]) for each in needed}
    assert names <= set(locked()), "run make lock"
    pinned = dict(line.split("==") for line in page("constraints.txt").split())
    tested = {normal(name): version for name, version in pinned.items()}
    other = {name: version for name, version in locked().items() if tested.get(name, version) != version}
    assert other == {}, "run make lock"

"""The locks against pyproject.toml and constraints.txt. CI asks the indexes whether the hashes are their own."""

from __future__ import annotations

import re
import runpy
import tomllib

import pytest

from tests.helpers.documents import ROOT, page

SCRIPT = runpy.run_path(str(ROOT / "scripts" / "lock_cpu.py"))
INDEX = "https://download.pytorch.org/whl/cpu"
ENTRY = re.compile(r"^([\w.-]+)==([^ \\\n]+)[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, str]:
    return {normal(name): version for name, version, _ in ENTRY.findall(page("requirements.lock"))}


@pytest.mark.parametrize(
    ("lock", "other"), [("requirements.lock", []), ("requirements-cpu.lock", [f"--extra-index-url {INDEX}"])]
)
def test_every_line_of_a_lock_is_a_version_with_hashes(lock: str, other: list[str]) -> None:
    rest = ENTRY.sub("", page(lock))
    assert [line for line in rest.splitlines() if not line.startswith("#")] == other


def test_the_lock_has_what_the_project_needs_in_the_versions_that_are_tested() -> None:
    needed = tomllib.loads(page("pyproject.toml"))["project"]["dependencies"]
    names = {normal(re.split(r"[<>=\[ ]", each)[0]) for each in needed}
    assert names <= set(locked()), "run make lock"
    pinned = dict(line.split("==") for line in page("constraints.txt").split())
    tested = {normal(name): version for name, version in pinned.items()}
    other = {name: version for name, version in locked().items() if tested.get(name, version) != version}
    assert other == {}, "run make lock"


def test_the_lock_for_the_cpu_is_the_other_one_with_another_torch_and_without_cuda() -> None:
    kept = SCRIPT["kept_hashes"](page("requirements-cpu.lock"), locked()["torch"])
    assert len(kept) == 8, "Linux on x86_64 and aarch64, four Pythons"
    assert page("requirements-cpu.lock") == SCRIPT["cpu_lock"](page("requirements.lock"), INDEX, kept), "run make lock"
    dropped = set(locked()) - {normal(name) for name, _, _ in ENTRY.findall(page("requirements-cpu.lock"))}
    assert {name.partition("-")[0] for name in dropped} == {"cuda", "nvidia", "triton"}
    assert SCRIPT["kept_hashes"](page("requirements-cpu.lock"), "2.99.0") == []


def test_torch_s_hashes_are_read_from_its_index() -> None:
    def link(file: str, digit: str) -> str:
        return (
            f'<a href="/whl/cpu/{file}.whl#sha256={digit * 64}" data-core-metadata="sha256={"f" * 64}">{file}.whl</a>'
        )

    files = {
        "torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64": "a",
        "torch-2.13.0%2Bcpu-cp314-cp314-manylinux_2_28_aarch64": "b",
        "torch-2.13.0%2Bcpu-cp314-cp314t-manylinux_2_28_x86_64": "1",
        "torch-2.13.0%2Bcpu-cp310-cp310-manylinux_2_28_x86_64": "2",
        "torch-2.12.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64": "3",
        "torch-2.13.0%2Bcpu-cp311-cp311-win_amd64": "4",
    }
    published = "\n".join(link(*each) for each in files.items())
    assert SCRIPT["published_hashes"](published, "2.13.0") == ["a" * 64, "b" * 64]

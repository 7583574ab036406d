"""The pages for each kind of reader: what they quote, claim, name and link is there."""

from __future__ import annotations

import configparser
import re
import shlex

import typer
import yaml

from bot.cli.main import app
from bot.settings import Settings
from tests.helpers.documents import ROOT, page, rows_of
from tests.texts import every_text

FILLED_IN = "…"
ENTRIES = ("members", "admins", "operators", "engineers")
INSTALLATION = "docs/install-ubuntu.md"
WHERE = ["demo model on CPU", "full size, random weights, H100", "published weights", "real Discord"]


def quotes(sentence: str, text: str) -> bool:
    """Return whether a text of the code has a sentence's words in their order, with anything for each "…"."""
    at = 0
    for part in sentence.split(FILLED_IN):
        found = text.find(part.strip(" "), at)
        if found < 0:
            return False
        at = found + len(part.strip(" "))
    return True


def test_troubleshooting_quotes_what_the_program_says() -> None:
    texts = [text.text for text in every_text()]
    quoted = [row[0] for row in rows_of(page("docs/troubleshooting.md"))]
    assert 25 <= len(quoted) <= 80
    for sentence in quoted:
        assert len(sentence.replace(FILLED_IN, "")) > 20, f"too few words to find it by: {sentence}"
    assert [sentence for sentence in quoted if not any(quotes(sentence, text) for text in texts)] == []


def test_a_sentence_that_nobody_says_is_not_found() -> None:
    assert not quotes("You have used … of … this week", "You have used {…} of {…} in the last 24 hours{…}")


def test_every_claim_of_the_readme_says_where_it_ran() -> None:
    claims = re.findall(r"^- \*\*(.+?)\*\*: ", section("README.md", "What it does"), re.MULTILINE)
    text = page("docs/verified.md").split("\n## ")[0]
    assert f"| claim | {' | '.join(WHERE)} |" in text
    rows = rows_of(text)
    assert [row[0] for row in rows] == claims
    for claim, *cells in rows:
        assert len(cells) == len(WHERE), claim
        for cell in cells:
            assert cell in {"not yet", "–"} or re.match(r"20\d\d-\d\d-\d\d, .", cell), f"{claim}: when, and by what?"


def test_what_is_said_to_have_run_names_tests_that_exist() -> None:
    for name in ("docs/verified.md", "docs/upgrade.md", "docs/engine.md"):
        for arguments in re.findall(r"`pytest ([^`]+)`", page(name)):
            assert [path for path in shlex.split(arguments) if not (ROOT / path).exists()] == [], name


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert len(page("README.md").splitlines()) <= 80
    linked = links("README.md")
    assert linked >= {f"docs/{name}.md" for name in (*ENTRIES, "install-ubuntu", "verified")}
    for name in ENTRIES:
        linked |= links(f"docs/{name}.md")
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").iterdir() if path.suffix in {".md", ".ipynb"}}
    assert pages - linked == set()


def test_anchors_that_a_page_links_are_there() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", path.read_text(encoding="utf-8")):
            other = path.parent / target if target else path
            assert anchor in anchors(other.read_text(encoding="utf-8")), f"{path.name} links {target}#{anchor}"


def test_the_pages_give_commands_and_options_that_the_program_has() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for line in re.findall(
            r"(?:^|`|bin/)zimage-bot ([a-z][^`\n|]*)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            name, *words = line.split("#")[0].split()
            assert name in commands, f"{path.name}: zimage-bot {line}"
            known = {option for each in commands[name].params for option in (*each.opts, *each.secondary_opts)}
            given = {word.strip(".,;:)").split("=")[0] for word in words if word.startswith("--")} - {"--", "--help"}
            assert given <= known, f"{path.name}: zimage-bot {line}"


def test_each_command_of_the_installation_says_whether_it_is_run() -> None:
    blocks = re.findall(r"^(.*)\n\n```sh(.*)\n", page(INSTALLATION), re.MULTILINE)
    assert len(blocks) == page(INSTALLATION).count("```sh")
    for before, kind in blocks:
        assert before.startswith("*Run by a test") if " test" in kind else before == "**Not run by us yet:**", before


def test_the_unit_for_systemd_starts_the_bot_and_gives_it_time_to_stop() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read_string(page("deploy/zimage-bot.service"))
    (folder,) = re.findall(r"git clone ADDRESS (\S+)", page("docs/operations.md"))
    assert unit["Service"]["ExecStart"] == f"{folder}/.venv/bin/zimage-bot run"
    assert f"{folder}/.venv/bin/zimage-bot " in page("deploy/zimage-bot")
    for place in ("/etc/zimage-bot", "/var/lib/zimage-bot", "/var/cache/zimage-bot"):
        assert all(place in page(name) for name in ("deploy/zimage-bot.service", "deploy/zimage-bot"))
        assert place in page("docs/operations.md")
    assert float(unit["Service"]["TimeoutStopSec"]) > Settings.in_code().shutdown_seconds + 5
    assert unit["Service"]["Restart"] == "on-failure"


def test_the_public_workflow_runs_what_ci_runs_without_secrets() -> None:
    text = page(".github/workflows/ci.yml")
    steps = yaml.safe_load(text)["jobs"]["check"]["steps"]
    assert [step["run"] for step in steps if step.get("run") == ".ci/run"] == [".ci/run"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o100
    (python,) = (step["with"] for step in steps if step.get("uses", "").startswith("actions/setup-python@"))
    assert python["cache"] == "pip"
    assert f'requires-python = ">={python["python-version"]}"' in page("pyproject.toml")
    assert "${{ secrets" not in text


def section(name: str, title: str) -> str:
    """Return the text under a heading of the second level."""
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page(name), re.MULTILINE | re.DOTALL)
    return str(found)


def links(name: str) -> set[str]:
    """Return the files that a page links, as paths from the project's root."""
    folder = (ROOT / name).parent
    found = re.findall(r"\]\((?!https?:|#)([^)#]+)", page(name))
    return {str((folder / link).resolve().relative_to(ROOT)) for link in found}


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

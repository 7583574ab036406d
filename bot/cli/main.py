"""The command line.

Imports that take long stand inside the commands, after the settings are read: ``--help`` and a wrong setting answer at
once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.cluster_commands import add_cluster_commands
from bot.cli.data_commands import add_data_commands
from bot.cli.ending import end_now
from bot.cli.ending import or_explain as _or_explain
from bot.cli.ending import settings_or_explain as _settings
from bot.cli.ending import stop as _stop
from bot.cli.ending import stop_in_json as _stop_in_json
from bot.errors import ExitStatus
from zimage_engine.catalog import PROFILES, demo_profiles, either, random_weight_profiles

app = typer.Typer(
    name="zimage-bot",
    help="A Discord bot that owns its GPU: /imagine, and Z-Image answers with a picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_LOGIN_HELP = (
    "DISCORD_TOKEN is not set: copy .env.example to .env and put the bot's token from the Discord developer portal "
    "there. To try the bot without Discord, run `zimage-bot demo`."
)
_PROFILE_HELP = f"{either(PROFILES)}. Default: the PROFILE setting."
_MODEL_HELP = "Which of the models that PROFILES names; the first if left out."
_BENCH_PROFILE_HELP = f"{', '.join(random_weight_profiles())}, or with --weights own any profile."
_HUB_HELP = (
    "HF_HOME is the folder with the downloads (default: ~/.cache/huggingface); set it to a folder on a disk with room, "
    "and set it for `run`, too. HF_TOKEN is a token from https://huggingface.co/settings/tokens; only private models "
    "and those with terms to accept need one. Both are read from the environment or .env."
)
_TYPER_USAGE = 2


def main() -> None:
    """Run the command line. An error that a person can fix ends in one sentence and a status of :class:`ExitStatus`."""
    import os

    os.umask(0o077)  # only the bot's own user may read the database, the images and backups
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except SystemExit as end:
        status = ExitStatus.USAGE if end.code == _TYPER_USAGE else end.code
        end_now(int(status or 0))


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        from bot.version import program_version

        typer.echo(f"zimage-bot {program_version()}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A Discord bot that owns its GPU: /imagine, and Z-Image answers with a picture."""
    del version


@app.command()
def run() -> None:
    """Run the bot on Discord, with the settings from the environment and .env."""
    from bot.settings import json_is_wanted, read_settings

    stop = _stop_in_json if json_is_wanted() else _stop
    settings = _or_explain(read_settings, stop)
    token = settings.discord_token
    if token is None:
        stop(_LOGIN_HELP, ExitStatus.CONFIGURATION)
    from bot.cli.run import run_bot
    from bot.logs import crashes_logged, prints_logged

    def work() -> None:
        with prints_logged():  # not what stops the program: it is said as it is
            run_bot(settings, token.get_secret_value())

    with crashes_logged():
        _or_explain(work, stop)


@app.command()
def doctor(
    *, offline: Annotated[bool, typer.Option("--offline", help="Ask neither Discord, the hub nor a cluster.")] = False
) -> None:
    """Look at this machine, the model, the token and the database, and say what to fix."""
    settings = _settings()
    from bot.checks.finding import Surroundings
    from bot.cli.doctor import examine

    if not _or_explain(lambda: examine(Surroundings(settings, offline=offline))):
        sys.exit(ExitStatus.FOUND)


@app.command()
def health() -> None:
    """Ask the bot that runs on this machine whether it is well; needs METRICS_ADDR. Exits with 1 if it is not."""
    settings = _settings()
    from bot.checks.health import read_health

    checks = _or_explain(lambda: read_health(settings))
    for name, problem in checks.items():
        typer.echo(f"{name}: {problem}")
    if any(problem != "ok" for problem in checks.values()):
        sys.exit(1)


@app.command(epilog=_HUB_HELP)
def download(
    profile: Annotated[str | None, typer.Option(help=_PROFILE_HELP)] = None,
    model: Annotated[
        str | None, typer.Option(help="A hub id to download instead of the profile's own weights, as MODEL is.")
    ] = None,
) -> None:
    """Download the weights of a profile from the Hugging Face Hub, so that `run` finds them.

    Says the size and the free disk space first, and takes only the files that the bot reads. A broken connection is
    taken up where it broke; stopped and started again, it goes on with the files that were not complete.
    """
    settings = _settings(**{name: value for name, value in (("profile", profile), ("model", model)) if value})
    from bot.cli.download import download as run_download

    _or_explain(lambda: run_download(settings))


@app.command()
def bench(
    weights: Annotated[str, typer.Option(help="random: nothing is downloaded. own: the profile's weights.")] = "random",
    profile: Annotated[str | None, typer.Option(help=_BENCH_PROFILE_HELP)] = None,
    size: Annotated[list[str] | None, typer.Option(help="Pixels like 256x256; may be given several times.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Pictures a step; may be given several times.")] = None,
    dtype: Annotated[str, typer.Option(help="bfloat16 or float32.")] = "bfloat16",
    attention: Annotated[str, typer.Option(help="auto, or an attention kernel that diffusers knows.")] = "auto",
    *,
    compiled: Annotated[bool, typer.Option("--compiled", help="Compile the transformer's blocks first.")] = False,
) -> None:
    """Time encoding, steps and decoding of the full-size Z-Image on this machine."""
    settings = _settings(**({"profile": profile} if profile else {}))
    from bot.cli.bench import BenchOptions
    from bot.cli.bench import bench as run_bench
    from zimage_engine.device.acceleration import Acceleration

    options = BenchOptions(weights, profile, size or [], batch or [1], dtype, Acceleration(attention, compiled))
    _or_explain(lambda: run_bench(settings, options))


@app.command()
def verify(
    profile: Annotated[str | None, typer.Option(help=_PROFILE_HELP)] = None,
    prompt: Annotated[str, typer.Option(help="What the picture shows.")] = "a red circle on a blue background",
    seed: Annotated[int, typer.Option(help="The seed of both pictures.")] = 1,
    out: Annotated[Path, typer.Option(help="The folder where the pictures are saved.")] = Path("build/verify"),
) -> None:
    """Check that the engine generates the same picture as plain diffusers does from the same weights.

    Loads each model's weights twice, generates a picture each time, and prints by how much the pixels differ, seconds,
    peak memory, and lines for docs/verified.md. Ends with status 1 if they differ by more than 1 of 255.
    """
    settings = _settings(**({"profile": profile} if profile else {}))
    from bot.cli.verify import verify as run_verify

    if not _or_explain(lambda: run_verify(settings, prompt, seed, out)):
        sys.exit(1)


@app.command()
def migrate() -> None:
    """Bring the database up to date, making it where there is none."""
    settings = _settings()
    from bot.store.database import migrate as migrate_database
    from bot.store.faults import explained

    def migrated() -> list[str]:
        with explained(settings.database_path):
            return migrate_database(settings.database_path)

    names = _or_explain(migrated)
    applied = f"applied {', '.join(names)}" if names else "nothing to do"
    typer.echo(f"{settings.database_path}: {applied}.")


@app.command()
def demo(
    prompt: Annotated[str, typer.Argument(help="What the member types after /imagine prompt:")] = (
        "a red circle on a blue background"
    ),
    out: Annotated[Path, typer.Option(help="Where the picture is saved.")] = Path("build/demo.png"),
    model: Annotated[str | None, typer.Option(help=f"{either(demo_profiles())}. Default: as PROFILES says.")] = None,
) -> None:
    """Show the whole way on a simulated Discord: /imagine, progress, picture. Needs no account and no GPU."""
    settings = _settings()
    from bot.playground.demo import run_demo

    _or_explain(lambda: run_demo(settings, prompt, out, model))


@app.command()
def playground(
    profile: Annotated[str | None, typer.Option(help=f"{either(PROFILES)}. Default: PROFILES' demo models.")] = None,
    port: Annotated[int, typer.Option(help="The page's port on 127.0.0.1. 0: any free one.", min=0, max=65535)] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Keep the database and the images here. Default: a folder that is removed.")
    ] = None,
    *,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Try the real bot in the browser, on a simulated Discord. Needs no account and no GPU."""
    settings = _settings(**({"profile": profile} if profile else {}))
    _need_playground()
    from bot.cli.playground import run_playground

    _or_explain(lambda: run_playground(settings, port, data, named=profile is not None, open_browser=open_browser))


@app.command()
def imagine(
    prompt: Annotated[str, typer.Argument(help="What the picture shows. Flags like --ar work inside it, too.")],
    size: Annotated[str | None, typer.Option(help="small, medium, large, or pixels like 256x256.")] = None,
    aspect: Annotated[str | None, typer.Option(help="Width:height, like 16:9.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed draws the same picture. Random when not given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    count: Annotated[int | None, typer.Option(help="How many pictures; the seed counts up.")] = None,
    negative: Annotated[str | None, typer.Option(help="What the picture should not show.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How closely to follow the prompt.")] = None,
    model: Annotated[str | None, typer.Option(help=_MODEL_HELP)] = None,
    profile: Annotated[str | None, typer.Option(help=_PROFILE_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Where to save; with several pictures, numbered.")] = Path("zimage.png"),
) -> None:
    """Generate pictures without Discord."""
    settings = _settings(**({"profile": profile} if profile else {}))
    from bot.cli.draw import draw_to_files
    from bot.requests.spec import ImageOptions

    options = ImageOptions(prompt, negative, aspect, size, count, seed, steps, guidance, model=model)
    _or_explain(lambda: draw_to_files(settings, options, out))


@app.command()
def edit(
    image: Annotated[Path, typer.Argument(help="The picture to change: PNG, JPEG, WebP and others.")],
    prompt: Annotated[str, typer.Argument(help="What it shows afterwards. Flags like --strength work inside it, too.")],
    mask: Annotated[
        Path | None, typer.Option(help="Only where this picture is white is the other one changed.")
    ] = None,
    strength: Annotated[float | None, typer.Option(help="0.05 to 1: lower keeps more of the picture.")] = None,
    size: Annotated[str | None, typer.Option(help="Default: the size nearest to the picture's own.")] = None,
    fit: Annotated[str | None, typer.Option(help="crop or pad: how another shape comes to that size.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed makes the same change. Random when not given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    count: Annotated[int | None, typer.Option(help="How many pictures; the seed counts up.")] = None,
    model: Annotated[str | None, typer.Option(help=_MODEL_HELP)] = None,
    profile: Annotated[str | None, typer.Option(help=_PROFILE_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Where to save; with several pictures, numbered.")] = Path("edited.png"),
) -> None:
    """Change a picture without Discord."""
    settings = _settings(**({"profile": profile} if profile else {}))
    from bot.cli.draw import edit_to_files
    from bot.requests.spec import ImageOptions

    options = ImageOptions(prompt, None, None, size, count, seed, steps, None, strength, fit, model=model)
    _or_explain(lambda: edit_to_files(settings, image, options, mask, out))


def _need_playground() -> None:
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("av", "linkify_it", "markdown_it")):
        _stop(
            "The playground needs packages that are not installed: run `pip install '.[playground]'` in the project's "
            "folder.",
            ExitStatus.CONFIGURATION,
        )


add_cluster_commands(app)
add_data_commands(app)

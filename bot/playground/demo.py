"""``zimage-bot demo``: a member of a simulated Discord types ``/imagine`` and the real bot answers."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path

import discord
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text
from transformers.utils.logging import disable_progress_bar

from bot.app import create_client
from bot.client import ZImageBot
from bot.device_setting import demo_device
from bot.errors import StartupError, WrongUsage
from bot.inert import in_quotes
from bot.logs import configure_logging
from bot.media.files import save_picture
from bot.playground.demo_models import demo_models
from bot.playground.world import World, open_world, watch
from bot.settings import Settings
from zimage_engine.catalog import demo_profiles, either

_PACE = 0.02
_LAST_POLL_SECONDS = 0.2
_CLUSTER_SECONDS = 60.0


def run_demo(settings: Settings, prompt: str, out: Path, model: str | None = None) -> None:
    """Show the conversation and save the picture to ``out``; which models there are, and where, ``settings`` say.

    ``model`` is the one that is asked for, None for the first. Raises :class:`StartupError` if it is none of those that
    ship, or no picture comes.
    """
    names, ignored = demo_models(settings)
    console = Console(highlight=False)
    if model is not None and model not in demo_profiles():
        raise WrongUsage(f"There is no demo model {in_quotes(model, 40)}: take {either(demo_profiles())}.")
    if model is not None and model not in names:
        names = (model,)
    if ignored:
        console.print(f"[dim]{escape(ignored)}[/]", soft_wrap=True)
    configure_logging(Settings.in_code(log_level="WARNING"))
    disable_progress_bar()
    asyncio.run(_until_terminated(_converse(settings, prompt, out, names, model, console)))


async def _until_terminated(conversation: Coroutine[None, None, None]) -> None:
    """End as Ctrl-C does when SIGTERM comes, so that nothing is left of Ray and of the temporary files."""
    task = asyncio.create_task(conversation)
    terminated = False

    def end() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    with suppress(NotImplementedError):  # Windows has no such handlers
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    try:
        await task
    except asyncio.CancelledError:
        if not terminated:
            raise
        raise SystemExit(128 + signal.SIGTERM) from None


async def _converse(
    settings: Settings, prompt: str, out: Path, names: tuple[str, ...], model: str | None, console: Console
) -> None:
    with tempfile.TemporaryDirectory(prefix="zimage-demo-") as folder:
        client = create_client(
            Settings.in_code(
                data_dir=Path(folder),
                profiles=names,
                progress_interval=_PACE,
                device=demo_device(settings.device, names),
                ray_address=settings.ray_address,
                workers=settings.workers,
            )
        )
        where = "the CPU" if client.settings.device == "cpu" else client.settings.device
        console.print(f"[dim]Starting the bot on a simulated Discord, with {' and '.join(names)} on {where} …[/]")
        async with open_world(client) as world:
            await wait_for_model(client)
            options = {"model": model} if model is not None and len(names) > 1 else {}
            typed = "".join(f"  [cyan]{name}:[/]{value}" for name, value in options.items())
            typed = f"[cyan]/imagine prompt:[/]{escape(prompt)}{typed}"
            console.print(f"\n[bold]mira[/] in #pictures types  {typed}\n", soft_wrap=True)
            watcher = asyncio.create_task(watch(world, lambda text: _show(console, text)))
            answered = await world.member.slash(world.channel, "imagine", prompt=prompt, **options)
            await asyncio.sleep(_LAST_POLL_SECONDS)
            watcher.cancel()
            await asyncio.wait([watcher])
            if not watcher.cancelled():
                watcher.result()
            await _save(world, answered.response, out, console)


async def wait_for_model(client: ZImageBot, seconds: float = _CLUSTER_SECONDS) -> None:
    """Wait until the model is loaded. Raises :class:`EngineError` if it cannot be.

    Raises :class:`StartupError` if a cluster has offered no device after so many seconds: a bot would go on to wait for
    one, but whoever runs the demo is to be told.
    """
    address = client.settings.ray_address
    loaded = asyncio.create_task(client.model_ready())
    try:
        await asyncio.wait([loaded], timeout=seconds)
        if not loaded.done() and address not in (None, "local") and not client.engine.stats().devices:
            raise StartupError(
                f"No worker was found in the Ray cluster (RAY_ADDRESS={address}) within {seconds:g} s: "
                "`zimage-bot cluster` shows its machines, `zimage-bot worker` adds one, and with --workers 1 the "
                "head's machine works, too."
            )
        await loaded
    finally:
        loaded.cancel()


def _show(console: Console, text: str) -> None:
    console.print(Panel(Text(text), title="zimage-bot", title_align="left", border_style="blue"))


async def _save(world: World, answer: object, out: Path, console: Console) -> None:
    """Save the newest picture of the channel. Raises :class:`StartupError` with the bot's messages if there is none."""
    messages: list[discord.Message] = [m for m in world.channel.history() if m.attachments]
    if not messages:
        said = getattr(answer, "content", None) or "; ".join(m.content for m in world.channel.history())
        raise StartupError(f"No picture came: {said or 'the bot did not answer'}")
    attachment = messages[-1].attachments[0]
    data = await attachment.read()
    await asyncio.to_thread(save_picture, out, data)
    console.print(
        f"The picture {attachment.filename} ({len(data) / 1000:.0f} kB) is saved as [bold]{escape(str(out))}[/].",
        soft_wrap=True,
    )

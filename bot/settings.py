"""The settings, read from the environment and ``.env``; tests and the playground create them in code."""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode, SettingsConfigDict, SettingsError

from bot.cluster_settings import ClusterSettings
from bot.data_settings import Amount, DataSettings, Id, Unlimited
from bot.device_setting import DeviceSetting
from bot.errors import StartupError, WrongUsage
from bot.model_settings import ModelSettings
from bot.monitoring_settings import MonitoringSettings
from zimage_engine.config import WEIGHT_MAX, WEIGHT_MIN

ENV_FILE = Path(".env")
_LIBRARY_SETTINGS = (
    "HF_ CUDA_ NVIDIA_ HIP_ HSA_ ROCR_ PYTORCH_ TORCH_ TORCHINDUCTOR_ NCCL_ TRITON_ OMP_ MKL_ OPENBLAS_ TOKENIZERS_ "
    "TRANSFORMERS_ DIFFUSERS_ RAY_AUTH_ RAY_TLS_ RAY_USE_TLS SSL_CERT_ REQUESTS_CA_ HTTP_PROXY HTTPS_PROXY ALL_PROXY "
    "NO_PROXY"
)
"""What the names of settings of libraries begin with; in ``.env`` they are passed on to the environment."""

_ALIKE_IN_FILE = 0.75
_ALIKE_IN_ENVIRONMENT = 0.88  # other programs have variables, too
_SHORTEST_IN_ENVIRONMENT = 8

Weight = Annotated[float, Field(ge=WEIGHT_MIN, le=WEIGHT_MAX)]
Number = Annotated[int, Field(ge=0, le=10**12)] | Unlimited
Share = Annotated[float, Field(gt=0, le=1)]


class Settings(ModelSettings, DataSettings, ClusterSettings, MonitoringSettings):
    """What an operator can set; ``.env.example`` shows each with its meaning."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, allow_inf_nan=False
    )

    discord_token: SecretStr | None = Field(None, description="The bot's token from the Discord developer portal.")
    allowed_guilds: Annotated[frozenset[Id], NoDecode] = Field(
        frozenset(),
        description="Ids of the only servers that may use the bot, separated by commas. Empty: every server and DMs.",
    )
    message_content_intent: bool = Field(
        default=False,
        description="true where the portal grants it: @bot in a reply to anybody's picture edits that picture.",
    )
    shards: int | None = Field(
        None,
        ge=1,
        le=16_000,
        description="Connections to Discord's gateway that share the servers. Empty: as many as Discord recommends, "
        "about one for each 1,000 servers.",
    )
    device: DeviceSetting = "auto"
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="auto: bfloat16 on a GPU, float32 on the CPU."
    )
    batch_tokens: int = Field(
        0,
        ge=0,
        le=10**9,
        description="Most tokens that pictures generated together may have in all. 0: measured at the first start.",
    )
    worker: Literal["thread", "process"] = Field(
        "thread",
        description="Where the model runs: thread, in the bot's own process, or process, in one of its own.",
    )
    attention: str = Field(
        "auto",
        description="The attention kernel: auto (torch's own), or one that diffusers knows, such as flash or sage.",
    )
    compiled: bool = Field(
        default=False, description="true compiles the model's blocks: slow to start the first time, then faster steps."
    )
    cache_dir: Path | None = Field(
        None, description="Where measurements of the device are kept. Default: cache inside DATA_DIR."
    )
    direct_messages: bool = Field(default=True, description="Whether members may use the bot in direct messages.")
    user_install: bool = Field(
        default=False,
        description="true: people can install the bot for themselves and use it in servers it is not in.",
    )
    server_weights: Annotated[dict[Annotated[int, Field(ge=0, lt=2**63)], Weight], NoDecode] = Field(
        {},
        description="Shares of the device, such as 123456789012345678=2,0=0.5: a server of weight 2 gets twice as much "
        "as one of 1, which is the default; from 0.001 to 1000. 0 stands for direct messages and user-installed use.",
    )
    bot_owner_ids: Annotated[frozenset[Id], NoDecode] = Field(
        frozenset(), description="Ids of the people who may use /owner, separated by commas."
    )
    owner_guild_id: Id | None = Field(None, description="The one server where /owner is offered.")
    credits_per_day: Amount = Field(50.0, description="Credits a member has in 24 hours where nobody set anything.")
    direct_credits_per_day: Amount = Field(10.0, description="The same for direct messages and user-installed use.")
    concurrent_jobs: Number = Field(
        3, description="A member's requests that are generated at once; more wait in the queue."
    )
    queued_jobs: Number = Field(10, description="A member's requests that may wait in the queue.")
    max_pixels: Number = Field(
        "unlimited", description="Pixels of one picture where nobody set anything; the model has a bound of its own."
    )
    ceiling_credits_per_user: Amount = Field(
        "unlimited", description="Most credits a member has in 24 hours over all servers and direct messages."
    )
    ceiling_credits_per_server: Amount = Field("unlimited", description="Most credits of a server in 24 hours.")
    ceiling_queue_length: Number = Field(200, description="Most requests that may be waiting or running in all.")
    queue_share_per_user: Share = Field(
        0.25,
        description="The part that one member may take of the places in the queue that others leave: above 0, up to 1; "
        "at least one place.",
    )
    queue_share_per_server: Share = Field(
        0.25, description="The same for one server, once half of the queue is taken; before, it may take any place."
    )
    max_count: int = Field(4, ge=1, le=4, description="Most images one command may ask for, 1 to 4.")
    max_upload_mb: int = Field(25, ge=1, le=10**6, description="Largest image in MB that the bot downloads to edit.")
    upload_mb_per_day: Number = Field(
        500, description="Most MB of pictures that a member may give to /edit and /details in 24 hours."
    )
    previews: bool = Field(
        default=True, description="Whether the progress message shows what the picture looks like so far."
    )
    preview_decoder: str | None = Field(
        None,
        description="A folder or downloaded hub id of a tiny decoder in safetensors, such as madebyollin/taef1, for "
        "sharper previews.",
    )
    progress_interval: float = Field(
        1.5, ge=0.01, le=3600, description="Least seconds between two edits of a progress message."
    )
    shutdown_seconds: float = Field(
        8.0,
        gt=0,
        le=3600,
        description="How long stopping waits for the running step; the picture is generated again after the restart.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="DEBUG also logs prompts; the other levels never do."
    )
    log_format: Literal["console", "json"] = Field("console", description="console for people, json for machines.")

    @classmethod
    def in_code(cls, **values: Any) -> Settings:
        """Return settings from these values and the defaults, without the environment."""
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        return cls(_env_file=None, **(defaults | values))

    @field_validator("*", mode="after")
    @classmethod
    def _expand_home(cls, value: object) -> object:
        """Replace a leading ``~``: neither ``.env`` nor systemd does it, as a shell would."""
        try:
            if isinstance(value, Path):
                return value.expanduser()
            return str(Path(value).expanduser()) if isinstance(value, str) and value.startswith("~") else value
        except RuntimeError as error:
            raise PydanticCustomError("home", "Input names the home folder of a user who is not known here") from error

    @field_validator("discord_token", mode="after")
    @classmethod
    def _printable(cls, token: SecretStr | None) -> SecretStr | None:
        text = token.get_secret_value() if token is not None else "-"
        if not text.isascii() or not text.isprintable() or " " in text:
            raise PydanticCustomError(
                "token", "Input should be a token as the developer portal shows it, without spaces"
            )
        return token

    @field_validator("allowed_guilds", "bot_owner_ids", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("server_weights", mode="before")
    @classmethod
    def _split_pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        weights = {server.strip(): weight.strip() for server, _, weight in pairs}
        if not all(server.isdecimal() and weight for server, weight in weights.items()):
            raise PydanticCustomError(
                "pairs", "Input should be pairs of a server's id and its weight, such as 123=2,0=0.5"
            )
        if len(weights) < len(pairs):
            raise PydanticCustomError("pairs", "Input has a server twice")
        return weights

    @property
    def upload_bytes_per_day(self) -> int | None:
        """What a member may give to /edit and /details in 24 hours; None if unlimited."""
        return None if self.upload_mb_per_day == "unlimited" else self.upload_mb_per_day * 2**20

    @property
    def engine_cache_dir(self) -> Path:
        return self.cache_dir or self.data_dir / "cache"


def read_settings(env_file: Path = ENV_FILE, **overrides: Any) -> Settings:
    """Return the settings from the environment and the file; ``overrides`` outweigh both, by the names of fields.

    Settings of libraries in the file, such as ``HF_HOME``, are passed on to the environment, which outweighs them.
    Raises :class:`StartupError` with one sentence if the file cannot be read, a value is not right, or a name is nearly
    that of a setting: a mistyped ALLOWED_GUILDS would open the bot to everybody.
    """
    in_file = _read_env_file(env_file)
    _refuse_typos(in_file, f" in {env_file}", _ALIKE_IN_FILE)
    _refuse_typos((name for name in os.environ if len(name) >= _SHORTEST_IN_ENVIRONMENT), "", _ALIKE_IN_ENVIRONMENT)
    for name, value in in_file.items():
        if name.startswith(tuple(_LIBRARY_SETTINGS.split())) and value is not None:
            os.environ.setdefault(name, value)
    try:
        return Settings(_env_file=env_file, **overrides)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0])
        kind = WrongUsage if field in overrides else StartupError
        raise kind(
            f"The setting {field.upper()} is not right: {first['msg']}. See .env.example for what it takes."
        ) from error
    except SettingsError as error:  # a value that is no JSON
        raise StartupError(f"{error}. See .env.example for what the settings take.") from error


def json_is_wanted(env_file: Path = ENV_FILE) -> bool:
    """Return whether ``LOG_FORMAT`` says json, although other settings may be wrong."""
    try:
        value = os.environ.get("LOG_FORMAT") or _read_env_file(env_file).get("LOG_FORMAT")
    except StartupError:
        return False
    return value == "json"


def unknown_names(env_file: Path = ENV_FILE) -> list[str]:
    """Return the names in the file that are neither settings nor settings of libraries."""
    known = {name.upper() for name in Settings.model_fields}
    others = tuple(_LIBRARY_SETTINGS.split())
    return [name for name in _read_env_file(env_file) if name.upper() not in known and not name.startswith(others)]


def _read_env_file(path: Path) -> dict[str, str | None]:
    """Return what the file says; nothing if there is none.

    Raises :class:`StartupError` if it cannot be read or has a line that sets nothing, which dotenv would skip.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise StartupError(
            f"{path} is not encoded in UTF-8 (byte {error.start + 1}): save it again as UTF-8."
        ) from error
    except OSError as error:
        raise StartupError(
            f"{path} cannot be read ({error.strerror}): it has to be a file that the bot's user may read."
        ) from error
    for entry in parse_stream(io.StringIO(text)):
        if entry.error or (entry.key is not None and entry.value is None):
            before, written = entry.original.line, entry.original.string
            line = before + written[: len(written) - len(written.lstrip())].count("\n")  # it begins with blank lines
            raise StartupError(f"Line {line} of {path} has no NAME=VALUE: correct it, or begin it with #.")
    return dotenv_values(stream=io.StringIO(text))


def _refuse_typos(names: Iterable[str], where: str, alike: float) -> None:
    """Raise :class:`StartupError` for the first name that is not a setting, but nearly one."""
    known = [name.upper() for name in Settings.model_fields]
    for name in names:
        if name.upper() in known or name.startswith(tuple(_LIBRARY_SETTINGS.split())):
            continue
        if near := difflib.get_close_matches(name.upper(), known, n=1, cutoff=alike):
            raise StartupError(f"{name}{where} is not a setting: do you mean {near[0]}?")

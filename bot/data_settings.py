"""The settings of the data: where it lies, how long it is kept and how much it may become."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings

Unlimited = Literal["unlimited"]
Amount = Annotated[float, Field(ge=0, le=1e12)] | Unlimited
Id = Annotated[int, Field(ge=1, lt=2**63)]
"""An id that Discord gives; the database holds no larger one."""
_DAYS_MAX = 36_500


class DataSettings(BaseSettings):
    """A part of :class:`bot.settings.Settings`."""

    data_dir: Path = Field(Path("data"), description="Where the database and the images lie.")
    retention_days: int = Field(
        30, ge=1, le=_DAYS_MAX, description="Days after which the prompts and images of a job are removed."
    )
    backup_days: int = Field(
        14,
        ge=0,
        le=_DAYS_MAX,
        description="How many days backups are kept, as /privacy tells members: yours and the bot's own. 0: none.",
    )
    backup_dir: Path | None = Field(
        None, description="Where backups of everything are kept. Default: backups inside DATA_DIR."
    )
    backup_keep: int = Field(
        0,
        ge=0,
        le=_DAYS_MAX,
        description="How many daily backups of everything are kept, for at most BACKUP_DAYS days. 0: none are made.",
    )
    data_max_gb: Amount = Field(
        "unlimited",
        description="Most GB of pictures that are kept: the oldest that are posted are deleted first.",
    )
    min_free_gb: float = Field(
        1.0,
        ge=0,
        le=1e6,
        description="GB of the disk of DATA_DIR that stay free: the oldest posted pictures are deleted for that, and "
        "from half of it on, and below 8 MiB, no new requests are taken.",
    )

    @property
    def database_path(self) -> Path:
        return self.data_dir / "zimage.sqlite3"

    @property
    def data_max_bytes(self) -> int | None:
        """The most bytes of pictures that are kept; None if unlimited."""
        return None if self.data_max_gb == "unlimited" else round(self.data_max_gb * 1e9)

    @property
    def min_free_bytes(self) -> int:
        return round(self.min_free_gb * 1e9)

    @property
    def full_backup_dir(self) -> Path:
        """Where backups of everything are kept."""
        return self.backup_dir or self.data_dir / "backups"

    @property
    def image_dir(self) -> Path:
        return self.data_dir / "images"

    @property
    def original_dir(self) -> Path:
        return self.data_dir / "sources"

"""Which parts of two models are the same, and how little of their files is read to tell."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.device import part_files
from zimage_engine.device.part_files import PartFiles, SameFiles
from zimage_engine.types import ModelNotFound

VAE = Path("vae") / "diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(DEMO_WEIGHTS, tmp_path / "copy")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files that are read as a whole from now on."""
    paths: list[Path] = []
    digest = hashlib.file_digest

    def counted(file: object, name: str) -> object:
        paths.append(Path(file.name))  # type: ignore[attr-defined]
        return digest(file, name)  # type: ignore[arg-type]

    monkeypatch.setattr(part_files.hashlib, "file_digest", counted)
    return paths


def same(one: Path, other: Path, part: str = "vae", compare: SameFiles | None = None) -> bool:
    return (compare or SameFiles())(PartFiles.of(one, part), PartFiles.of(other, part))


def test_links_are_known_without_reading(tmp_path: Path, read: list[Path]) -> None:
    (tmp_path / "vae").symlink_to(DEMO_WEIGHTS / "vae")
    (tmp_path / "hard" / "vae").mkdir(parents=True)
    shutil.copy(DEMO_WEIGHTS / "vae" / "config.json", tmp_path / "hard" / "vae")
    shutil.copy(DEMO_WEIGHTS / VAE, tmp_path / "file")
    os.link(tmp_path / "file", tmp_path / "hard" / VAE)
    assert same(DEMO_WEIGHTS, tmp_path)
    assert same(tmp_path / "hard", tmp_path / "hard")
    assert read == []


def test_the_hub_s_blobs_are_known_by_their_names(tmp_path: Path, read: list[Path]) -> None:
    """Two models of the hub have caches of their own, in which a snapshot's files are links to blobs."""
    for model, name in (("turbo", "a" * 64), ("base", "a" * 64), ("other", "b" * 64)):
        blobs, part = tmp_path / model / "blobs", tmp_path / model / "snapshots" / "1" / "vae"
        blobs.mkdir(parents=True)
        part.mkdir(parents=True)
        shutil.copy(DEMO_WEIGHTS / VAE, blobs / name)
        shutil.copy(DEMO_WEIGHTS / "vae" / "config.json", part)
        (part / VAE.name).symlink_to(blobs / name)
    turbo, base, other = (tmp_path / model / "snapshots" / "1" for model in ("turbo", "base", "other"))
    assert same(turbo, base)
    assert not same(turbo, other)
    assert read == []


def test_a_copy_is_hashed_once(copy: Path, tmp_path: Path, read: list[Path]) -> None:
    cache = tmp_path / "cache"
    assert same(DEMO_WEIGHTS, copy, compare=SameFiles(cache))
    assert sorted(read) == sorted([DEMO_WEIGHTS / VAE, copy / VAE])
    assert same(DEMO_WEIGHTS, copy, compare=SameFiles(cache)), "also at the next start"
    assert len(read) == 2
    os.utime(copy / VAE)
    assert same(DEMO_WEIGHTS, copy, compare=SameFiles(cache))
    assert len(read) == 3, "a file that may have changed is read again"


def test_other_bytes_make_another_part(copy: Path, read: list[Path]) -> None:
    """A difference in the samples is found without reading the rest; one elsewhere is found, too."""
    content = bytearray((DEMO_WEIGHTS / VAE).read_bytes())
    assert len(content) > 3 * part_files._SAMPLE_BYTES
    content[-1] ^= 1
    (copy / VAE).write_bytes(content)
    assert not same(DEMO_WEIGHTS, copy)
    assert read == []
    content[-1] ^= 1
    content[part_files._SAMPLE_BYTES + 100] ^= 1
    (copy / VAE).write_bytes(content)
    assert not same(DEMO_WEIGHTS, copy)
    (copy / VAE).write_bytes(content[:-1])
    assert not same(DEMO_WEIGHTS, copy)


def test_who_saved_a_config_does_not_matter_and_all_else_does(copy: Path) -> None:
    config = copy / "vae" / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"_diffusers_version": "9.9", "_name_or_path": "elsewhere"}, indent=4))
    assert same(DEMO_WEIGHTS, copy)
    config.write_text(json.dumps(values | {"scaling_factor": 0.5}))
    assert not same(DEMO_WEIGHTS, copy)


def test_a_tokenizer_is_all_of_its_files(copy: Path) -> None:
    assert same(DEMO_WEIGHTS, copy, "tokenizer")
    (copy / "tokenizer" / "chat_template.jinja").write_text("{{ messages }}")
    assert not same(DEMO_WEIGHTS, copy, "tokenizer")


def test_a_file_that_was_replaced_is_not_what_was_loaded(copy: Path) -> None:
    loaded = PartFiles.of(copy, "vae")
    (copy / VAE).write_bytes((DEMO_WEIGHTS / VAE).read_bytes())
    os.utime(copy / VAE, (1, 1))
    assert not SameFiles()(loaded, PartFiles.of(copy, "vae"))
    (copy / VAE).unlink()
    assert not SameFiles()(loaded, PartFiles.of(DEMO_WEIGHTS, "vae"))


def test_missing_files_are_one_sentence(copy: Path) -> None:
    (copy / "vae" / "config.json").unlink()
    with pytest.raises(ModelNotFound, match=r"cannot be read \(FileNotFoundError\): download the model again"):
        PartFiles.of(copy, "vae")

"""Loads models onto one device, each part of them once, and remembers what that took and what their units cost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zimage_engine.config import EngineConfig
from zimage_engine.device.acceleration import Acceleration
from zimage_engine.device.calibration import known_costs, stored_costs, warm_up
from zimage_engine.device.cost_estimates import estimated_costs
from zimage_engine.device.devices import device_memory_free, host_memory_free, kind_of, title_of
from zimage_engine.device.load_times import LoadTimes
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import WIDTHS, MemoryPlan
from zimage_engine.device.model_files import EMBEDDINGS, PREVIEWS, ModelFiles, ModelFolders
from zimage_engine.device.model_memory import ModelsPlan, model_plans_at
from zimage_engine.device.out_of_memory import free_memory
from zimage_engine.device.part_files import PartFiles
from zimage_engine.model.captions import EmbeddingCache
from zimage_engine.model.model import ZImageModel
from zimage_engine.model.previews import Previewer, find_previewer
from zimage_engine.places import DevicePlace
from zimage_engine.profiles import ModelProfile
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.weights import Report, weights_folder

log = logging.getLogger(__name__)


@dataclass(slots=True, weakref_slot=True)
class LoadedModel:
    """A model that is on the device."""

    profile: ModelProfile
    model: ZImageModel
    previewer: Previewer | None


class ModelLoader:
    """Loads the models of these profiles onto a device; downloads their weights when it is created.

    ``place`` says how much of the device's memory they may take. ``report`` receives a few words on what it is doing.
    Raises :class:`EngineError`.
    """

    def __init__(
        self,
        config: EngineConfig,
        profiles: Iterable[ModelProfile],
        device: torch.device,
        place: DevicePlace,
        report: Report,
    ) -> None:
        self.profiles = {profile.name: profile for profile in profiles}
        self.report = report
        self._config = config
        self._device = device
        self._place = place
        self._acceleration = Acceleration(config.attention, config.compiled)
        self._paths = {profile.name: weights_folder(profile, report) for profile in self.profiles.values()}
        self._folders = ModelFolders(config.cache_dir, report)
        self._loaded: dict[PartFiles, Any] = {}
        self._times = LoadTimes(config.cache_dir)

    def files(self, name: str) -> ModelFiles:
        """Look at the files of a model. Raises :class:`ModelNotFound` if some are damaged."""
        return self._folders.look(self._paths[name])

    def plans(self, models: Iterable[ModelFiles]) -> list[ModelsPlan]:
        """Return how the models may share the device with the memory that is free now, the fastest way first.

        Where several workers share the device or the machine, it is this one's part of the memory. Raises
        :class:`OutOfMemory` with the GB that are missing.
        """
        return model_plans_at(
            self._place,
            [(files.sizes, files.sizes_by_files) for files in models],
            kind_of(self._device),
            device_memory_free(self._device),
            host_memory_free(),
            WIDTHS[self._config.dtype],
        )

    def load(self, name: str, files: ModelFiles, plan: MemoryPlan) -> LoadedModel:
        """Load those parts of a model that are not there yet. Raises what :func:`load_components` raises.

        What was loaded until an error stays, until :meth:`keep`.
        """
        profile = self.profiles[name]
        log.info("loading %s on %s", profile.title, self._name(plan))

        def once(part: str, load: Callable[[], Any]) -> Any:
            key = files.parts.get(part)
            if key is None:
                return load()
            if key not in self._loaded:
                self._loaded[key] = load()
            return self._loaded[key]

        components = load_components(files.folder, self._device, plan, self._acceleration, self.report, once)
        embeddings = once(EMBEDDINGS, lambda: EmbeddingCache(transformers=len(self.profiles)))
        model = ZImageModel(components, self._device, embeddings)
        if self._config.compiled:
            self.report("compiling")
            warm_up(model, profile)
        decoder = self._config.preview_decoder
        previewer = once(PREVIEWS, lambda: load_previewer(files.folder, model, decoder, self._device))
        return LoadedModel(profile, model, previewer)

    @property
    def loaded(self) -> Collection[PartFiles]:
        """The parts on the device."""
        return self._loaded.keys()

    def keep(self, models: Iterable[ModelFiles]) -> None:
        """Free the parts that none of these models uses. Nothing else may refer to them."""
        kept = {part for files in models for part in files.parts.values()}
        self._loaded = {part: loaded for part, loaded in self._loaded.items() if part in kept}
        free_memory()

    def load_seconds(self, name: str, files: Mapping[str, ModelFiles], beside: Iterable[str]) -> float:
        """Return what loading the model is expected to take where the parts of these models are loaded."""
        there = {part for other in beside if other != name for part in files[other].parts.values()}
        return self._times.expected(self._load_name(name), files[name].bytes_beside(there))

    def note_load(self, name: str, read: int, seconds: float) -> None:
        """Remember how long it took to load the model, of which ``read`` bytes of files were not there."""
        self._times.note(self._load_name(name), read, seconds)

    def _load_name(self, name: str) -> str:
        return f"{title_of(self._device)} | {self.profiles[name].weights}"

    def measured_costs(self, loaded: LoadedModel, plan: MemoryPlan) -> CostModel | None:
        """Return what the model's units cost here, measured once; None if nothing is to be measured."""
        if not self._config.measure:
            return None
        self.report("measuring the device")
        return self._with_budget(known_costs(loaded.model, loaded.profile, self._name(plan), self._config.cache_dir))

    def expected_costs(self, name: str, plan: MemoryPlan, known: CostModel, of: str) -> CostModel:
        """Return what the units of a model that is not loaded cost: as measured earlier, or from another's costs."""
        profile = self.profiles[name]
        stored = stored_costs(profile, self._name(plan), self._config.cache_dir) if self._config.measure else None
        return self._with_budget(stored or estimated_costs(known, self.profiles[of], profile))

    def _with_budget(self, costs: CostModel) -> CostModel:
        if self._config.batch_tokens:
            costs.budget = self._config.batch_tokens
        return costs

    def default_costs(self) -> CostModel:
        """Return rough guesses."""
        return self._with_budget(CostModel())

    def _name(self, plan: MemoryPlan) -> str:
        """Return the key of measurements, which is also a name for people."""
        return ", ".join(filter(None, (title_of(self._device), str(plan), str(self._acceleration))))


def load_previewer(folder: Path, model: ZImageModel, tiny: str | None, device: torch.device) -> Previewer | None:
    """Return the model's previewer; None if there is none or if it fails, since pictures need no previews."""
    try:
        return find_previewer(folder, model.parts.vae, tiny, device)
    except Exception:
        log.exception("previews cannot be made with this model and decoder; there are none")
        return None

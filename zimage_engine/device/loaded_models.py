"""The models on a device: which are loaded, and what makes room when another one is wanted."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence

from zimage_engine.device.loading import load_stepping_down
from zimage_engine.device.model_files import ModelFiles
from zimage_engine.device.model_loader import LoadedModel, ModelLoader
from zimage_engine.device.model_memory import ModelsPlan, kept_models
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import EngineError, ModelNotFound, OutOfMemory, UnitFailed, WorkerLost

log = logging.getLogger(__name__)


class LoadedModels:
    """The models that one device holds, at least one. Without a ``loader`` they stay as they are.

    ``costs`` are what the units of each model take in seconds, and ``load_seconds`` what :meth:`load` is expected to
    take; both have an entry for each model that can be loaded. They are replaced and never changed, and the costs of a
    model stay the same object until they are measured.
    """

    def __init__(
        self, held: Iterable[LoadedModel], costs: Mapping[str, CostModel], loader: ModelLoader | None = None
    ) -> None:
        self.costs = dict(costs)
        self.load_seconds = dict.fromkeys(costs, 0.0)
        self._held = {each.profile.name: each for each in held}  # the most recently used one last
        self._loader = loader
        self._measured: set[str] = set()
        self._files: dict[str, ModelFiles] = {}
        self._plans: Sequence[ModelsPlan] = ()

    @classmethod
    def start(cls, loader: ModelLoader) -> LoadedModels:
        """Load the loader's first model, and those of the others that the device can hold with it.

        Raises :class:`EngineError`.
        """
        models = cls((), {}, loader)
        models._files = {name: loader.files(name) for name in loader.profiles}
        plans = loader.plans(models._files.values())
        load_stepping_down(plans, lambda plan: models._start(loader, plans[plans.index(plan) :]))
        return models

    @property
    def names(self) -> frozenset[str]:
        """The names of the models that are loaded."""
        return frozenset(self._held)

    def all(self) -> list[LoadedModel]:
        """Return the models that are loaded, the most recently used one last."""
        return list(self._held.values())

    def find(self, name: str) -> LoadedModel | None:
        """Return a model, which counts as just used; None if it is not loaded."""
        found = self._held.pop(name, None)
        if found is not None:
            self._held[name] = found
        return found

    def load(self, name: str) -> None:
        """Make a model ready for use. Others are dropped if there is no room beside it.

        If that fails, the models that were there before are there again. Raises :class:`EngineError` with a sentence
        for whoever asked for the model, and :class:`WorkerLost` if no model is left.
        """
        if self.find(name) is not None:
            return
        loader = self._loader
        if loader is None or name not in loader.profiles:
            raise ModelNotFound("That model is not served here; choose another one.")
        before, plans = list(self._held), self._plans
        try:
            # Before anything is dropped: missing or damaged files cost nothing but this request.
            self._files[name] = loader.files(name)
            load_stepping_down(plans, lambda plan: self._replace(loader, plans[plans.index(plan) :], name))
        except Exception as error:  # noqa: BLE001 - logged, and passed on as a sentence
            failure = _for_members(error, loader.profiles[name].title)
            # The frames of the error and of its cause hold what was loaded.
            error.__traceback__ = error.__cause__ = error.__context__ = None
        else:
            return
        self._restore(loader, before, plans)
        raise failure

    def _start(self, loader: ModelLoader, plans: Sequence[ModelsPlan]) -> None:
        """Load what there is room for by the first of the plans."""
        self._use(plans)
        self._drop_but((), (), loader)
        for name in loader.profiles:
            if self._held.keys() <= set(self._kept(name)):  # nothing has to go for it
                self._load(loader, name)
        self.find(next(iter(loader.profiles)))
        self._expect(loader)

    def _replace(self, loader: ModelLoader, plans: Sequence[ModelsPlan], name: str) -> None:
        """Load the model by the first of the plans, in the place of those for which there is no room beside it."""
        same = self._use(plans)
        self._drop_but(self._kept(name) if same else (), (name,) if same else (), loader)
        self._load(loader, name)
        self._expect(loader)

    def _restore(self, loader: ModelLoader, before: Sequence[str], plans: Sequence[ModelsPlan]) -> None:
        """Load those of the models that were there ``before`` and are not there now."""
        same = self._use(plans)
        self._drop_but(before if same else (), before if same else (), loader)
        try:
            for name in before:
                if name not in self._held:
                    self._load(loader, name)
        except Exception as error:
            raise WorkerLost("The models that were loaded before cannot be loaded again.") from error
        for name in before:
            self.find(name)
        self._expect(loader)

    def _use(self, plans: Sequence[ModelsPlan]) -> bool:
        """Load by the first of these plans from now on. Returns False if it puts parts elsewhere: none can stay."""
        same = bool(self._plans) and plans[0].memory == self._plans[0].memory
        self._plans = plans
        if not same:
            self.costs, self._measured = {}, set()
        return same

    def _kept(self, name: str) -> list[str]:
        parts = {each: files.sizes_by_files for each, files in self._files.items()}
        return kept_models(self._plans[0], name, reversed(self._held), parts)

    def _drop_but(self, kept: Iterable[str], wanted: Iterable[str], loader: ModelLoader) -> None:
        """Drop all models but those ``kept``, with the parts that neither they nor those ``wanted`` have."""
        self._held = {name: loaded for name, loaded in self._held.items() if name in set(kept)}
        loader.keep([self._files[name] for name in {*self._held, *wanted}])

    def _load(self, loader: ModelLoader, name: str) -> None:
        files, plan = self._files[name], self._plans[0].memory
        read, began = files.bytes_beside(loader.loaded), time.perf_counter()
        loaded = loader.load(name, files, plan)
        loader.note_load(name, read, time.perf_counter() - began)
        if name not in self._measured and (costs := loader.measured_costs(loaded, plan)) is not None:
            self.costs = self.costs | {name: costs}
            self._measured.add(name)
        self._held[name] = loaded

    def _expect(self, loader: ModelLoader) -> None:
        """Note what is expected of the models whose costs were not measured, and of loading each."""
        plan = self._plans[0].memory
        first = next(iter(self.costs), next(iter(self._held)))
        costs = {first: loader.default_costs()} | self.costs
        for name in loader.profiles:
            if name not in costs:
                costs[name] = loader.expected_costs(name, plan, costs[first], first)
        self.costs = costs
        self.load_seconds = {
            # One that is loaded is dropped for another one, which may have some of its parts.
            name: loader.load_seconds(name, self._files, self._held if name not in self._held else self._files)
            for name in loader.profiles
        }


def _for_members(error: Exception, title: str) -> EngineError:
    """Log what went wrong, and return the error for whoever asked for the model."""
    if isinstance(error, OutOfMemory):
        log.error("%s could not be loaded: %s", title, error)
        return OutOfMemory(f"The device has too little memory for {title}; choose another model.")
    sentence = f"{title} cannot be loaded now; choose another model. The operator's log says why."
    if isinstance(error, EngineError):
        log.error("%s could not be loaded: %s", title, error)
        return ModelNotFound(sentence)
    log.error("%s could not be loaded", title, exc_info=error)
    return UnitFailed(sentence)

"""Where pairs of models are merged: the live engine itself, or one over merges held in memory, or over a sample."""

from __future__ import annotations

from dataclasses import dataclass

from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.spec import StudySpec
from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.engines.live import LiveEngine
from merging_core.engines.samples import InMemory, Sample, read_sample, scattered
from merging_core.errors import BasinError, Problem, RecipeError
from merging_core.recipes.recipe import Recipe
from merging_core.space.naming import named_like
from merging_core.space.parameter_space import build_space

__all__ = ["Ground", "ground_of"]

_BUDGET = 256 << 20
"""Bytes for samples of models, which are small."""


@dataclass(frozen=True, eq=False)
class Ground:
    """An engine that knows base and models by these references, and how much of each is there.

    `whole`: whether that is all of them; else a sample, of which merges can be looked at but not measured.
    """

    engine: LiveEngine
    base: str
    models: tuple[str, ...]
    elements: int
    whole: bool


def ground_of(spec: StudySpec, bench: StudyBench) -> Ground:
    """Return where two of the models at a time can be merged beside the base.

    What does not fit the memory of the live engine, base and two models, is looked at in a sample of 8 192 numbers of
    each. Raises RecipeError where a model is named twice, SpaceError where the models share no space, and as opening
    and merging do.
    """
    twice = [place for place, model in enumerate(spec.models) if model in spec.models[:place]]
    if twice:
        must, got = "each model stands in the list once", "one that came before"
        raise RecipeError(*(Problem(must, got, f"models[{place}]", "name another one") for place in twice))
    engine, base = bench.engine, str(spec.base)
    origin = engine.opened(base)
    held, opened = dict[int, InMemory](), list[Checkpoint]()
    for place, model in enumerate(spec.models):
        if isinstance(model, Recipe):
            held[place] = _merged(engine, model, origin, place)
            opened.append(held[place])
        else:
            opened.append(engine.opened(model, base))
    space = build_space(origin, opened)
    if 4 * space.size * 3 > engine.memory_budget // 2:
        sample = scattered(space)
        small = [_cut(named_like(origin, model), sample, str(place)) for place, model in enumerate((origin, *opened))]
        return _over(small, LiveEngine(_Beside(engine, small), "cpu", _BUDGET), sample.elements, whole=False)
    if not held:
        return Ground(engine, base, tuple(map(str, spec.models)), space.size, whole=True)
    beside = LiveEngine(_Beside(engine, list(held.values())), engine.device.type, engine.memory_budget)
    models = tuple(str(held[place].ref) if place in held else str(model) for place, model in enumerate(spec.models))
    return Ground(beside, base, models, space.size, whole=True)


class _Beside:
    """Checkpoints in memory beside those that another engine opens for whoever asks."""

    def __init__(self, engine: LiveEngine, held: list[InMemory]) -> None:
        self._engine, self._held = engine, {str(one.ref): one for one in held}

    def open(self, ref: Ref | str, /) -> Checkpoint:
        """Return what is held under a reference, or open it as the other engine does."""
        found = self._held.get(str(ref))
        return self._engine.opened(str(ref)) if found is None else found

    def check_access(self, ref: Ref, /) -> None:
        """Ask the other engine, which asks for whoever the work is done for."""
        if str(ref) not in self._held:
            self._engine.opened(str(ref))


def _merged(engine: LiveEngine, recipe: Recipe, origin: Checkpoint, place: int) -> InMemory:
    try:
        merged = engine.merge(recipe)
    except BasinError as error:
        raise error.located(f"models[{place}]") from error
    leaves = {name: value.cpu() for name, value in merged.weights.items()}
    return InMemory.named(f"merge {merged.hash}", leaves, named_like(origin, merged.plan.survey.reference))


def _cut(model: Checkpoint, sample: Sample, place: str) -> InMemory:
    return InMemory.named(f"{sample!r}\n{model.content()}\n{place}", read_sample(model, sample), model)


def _over(small: list[InMemory], engine: LiveEngine, elements: int, *, whole: bool) -> Ground:
    base, *models = (str(one.ref) for one in small)
    return Ground(engine, base, tuple(models), elements, whole)

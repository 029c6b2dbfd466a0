"""The live engine: task vectors resident on the device, and only what is downstream of a change recomputed.

    resident: θ₀, τₜ            by content                  shared, evicted least recently used
    mask:     τ̂ₜ                by τₜ, mask, seed, scaling  one vector per expert
    combine:  m                 by all τ̂ₜ, weights, method
    finish:   θ₀ + λ(ℓ)·λ·m     every request               the request's own, rounded through the recipe's dtype

So λ and the layer profile cost one multiplication and one addition, a weight costs the combination too, a density the
mask too. The numbers are those that the streaming engine writes, bit for bit on a CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from merging_core.checkpoints.reader import Checkpoint
from merging_core.engines.coefficients import after_combine, before_mask, profile
from merging_core.engines.crew import Crew
from merging_core.engines.flat import all_finite, combine_flat, finish_flat, gather_flat, norms_for_alpha
from merging_core.engines.kernel import non_finite, round_, runs
from merging_core.engines.layer_stats import (
    LayerStats,
    MaskStats,
    at_each_depth,
    gram,
    layer_stats,
    mask_stats,
    parts_of_one_lambda,
    squares,
)
from merging_core.engines.masked import masked_vector
from merging_core.engines.plan import DTYPE_NAMES, Plan, Survey, price
from merging_core.engines.pricing import amount
from merging_core.engines.residency import Residency
from merging_core.engines.residents import Residents, Shares
from merging_core.engines.settings import terms_of
from merging_core.engines.stage_keys import combined_key, input_keys, mask_keys
from merging_core.engines.whole import Found, combine_leaves_, found_in, whole_leaves
from merging_core.errors import PlanError, Problem
from merging_core.methods.contract import MethodInfo
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe
from merging_core.scaling.profiles import alpha_from_norms
from merging_core.space.depth import Depth
from merging_core.space.parameter_space import ParameterSpace, SpaceLeaf, build_space

__all__ = ["LiveEngine", "Merged", "choose_device"]

_TORCH = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


@dataclass(frozen=True, eq=False)
class Merged:
    """One merge: the request's own weights, and how they came about."""

    weights: dict[str, torch.Tensor]
    """Every leaf; merged ones are views of `flat`, copied ones are shared and must not be written to."""
    flat: torch.Tensor
    """[N] float32, rounded through the recipe's dtype."""
    plan: Plan
    timings: dict[str, float] = field(default_factory=dict)
    """Milliseconds per stage that had to be computed."""

    @property
    def hash(self) -> str:
        """The identity of the merge."""
        return self.plan.hash


@dataclass(frozen=True, eq=False)
class _Stage:
    """What a request has of the stages before layer scaling of the merged vector and λ."""

    vectors: tuple[torch.Tensor, ...]
    masked: tuple[torch.Tensor, ...]
    mask_keys: tuple[Hashable, ...]
    combined: torch.Tensor
    combined_key: Hashable
    base: torch.Tensor | None
    alpha: float | None


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of a name; `auto` prefers CUDA, then Apple's MPS, then the CPU.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


class LiveEngine:
    """Merge again and again, quickly; safe to use from several threads.

    `memory_budget` bounds, in bytes, what stays resident between requests: one half for weights and task vectors, one
    half for stages. A request's own weights are not counted; they are gone when the request lets go of them.
    """

    def __init__(self, catalog: Shares, device: str = "auto", memory_budget: int = 4 << 30) -> None:
        self.device = choose_device(device)
        self.memory_budget = memory_budget
        self._residents = Residents(catalog, self.device, memory_budget // 2)
        self._stages = Residency(memory_budget // 2)
        self._paces: dict[str, float] = {}
        self._crew = Crew(self.device)

    @property
    def resident_bytes(self) -> int:
        """Bytes held between requests now."""
        return self._residents.store.used + self._stages.used

    def opened(self, ref: str, base: str | None = None) -> Checkpoint:
        """Open a checkpoint, or return the open one if its files are still the same; an adapter as the base with it."""
        return self._residents.open(ref, base)

    def plan(self, recipe: Recipe) -> Plan:
        """Plan a recipe as `make_plan` does, remembering what was opened.

        Raises PlanError also where base and experts do not fit the memory budget together.
        """
        plan = price(recipe, self._residents.survey(recipe))
        needed = 4 * plan.space.size * len(plan.survey.checkpoints)
        if needed > self.memory_budget // 2:
            must = (
                f"base and experts in float32 fit the {amount(self.memory_budget // 2)} that the sliders hold in memory"
            )
            fix = "use fewer experts, allow more memory (BASIN_MEMORY_MB), or merge to a folder"
            raise PlanError(Problem(must, amount(needed), "memory", fix))
        return plan

    def merge(self, recipe: Recipe) -> Merged:
        """Carry out a recipe and return weights that belong to the caller.

        Raises as `plan` does, NonFiniteError when a leaf that is read is not finite, and PlanError naming the leaves
        whose merged numbers do not fit the recipe's dtype.
        """
        timings: dict[str, float] = {}
        with self._timed(timings, "plan"):
            plan = self.plan(recipe)
        stage = self._until_combined(plan, timings)
        with self._timed(timings, "finish"):
            space, found = plan.space, plan.stages
            coefficients = after_combine(found, _depths(space), plan.settings.lambdas, stage.alpha)
            flat = finish_flat(stage.combined, stage.base, runs(_spans(space), coefficients), found.method.domain)
            flat = round_(flat, _TORCH[dict(DTYPE_NAMES)[recipe.dtype]])
            finite = all_finite(flat)
            leaves = self.all_leaves(flat, plan.survey)  # while a device works
            self._check(finite, flat, space, recipe.dtype)
        return Merged(leaves, flat, plan, timings)

    def waiting(self, recipe: Recipe) -> float:
        """Estimate the seconds until the combination of a recipe is here: 0 where it is; raises as `plan` does.

        That is what the plan expects, by the pace that the method had here the last time.
        """
        plan = self.plan(recipe)
        keys = mask_keys(plan, input_keys(plan))
        if self._stages.peek(combined_key(plan, keys)) is not None:
            return 0.0
        pace = self._paces.get(plan.stages.method.name)
        return plan.merge_seconds if pace is None else pace * plan.merge_seconds

    def prepare(self, recipe: Recipe, cancelled: Callable[[], bool] | None = None) -> None:
        """Bring a recipe up to its combination, so that `merge` has it at once.

        `cancelled()` is asked before each leaf that the method sees whole. Raises as `merge` does, and CancelledError.
        """
        self._until_combined(self.plan(recipe), {}, cancelled)

    def parts(self, recipe: Recipe) -> tuple[Plan, torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the plan of a recipe, θ₀, and each τ̂ₜ after its mask, flat; shared, not to be written to.

        Raises as `merge` does, and PlanError where a recipe has no base.
        """
        plan = self.plan(recipe)
        if plan.survey.base is None:
            raise PlanError(Problem("task vectors have a base", "a recipe without one", "base", "name a base"))
        vectors, keys = self._inputs(plan)
        return plan, self._residents.weights(plan.survey.base, plan.space), self._masked(plan, vectors, keys)[0]

    def along_lambda(self, recipe: Recipe, lambda_: float) -> Merged:
        """Carry out a recipe at another λ: one multiplication and one addition once its stages are cached."""
        return self.merge(replace(recipe, lambda_=float(lambda_)))

    def checkpoint(self, ref: str, base: str | None = None) -> dict[str, torch.Tensor]:
        """Return the weights of one checkpoint in float32: shared, not to be written to."""
        flat, surveyed = self.end(ref, base)
        return self.all_leaves(flat, surveyed)

    def end(self, what: Recipe | str, base: str | None = None) -> tuple[torch.Tensor, Survey]:
        """Return a recipe's merge or a checkpoint as a flat vector, [N] float32, shared, and what it was read from."""
        if isinstance(what, Recipe):
            merged = self.merge(what)
            return merged.flat, merged.plan.survey
        opened = self._residents.open(what, base)
        space = build_space(None, [opened])
        return self._residents.weights(opened, space), Survey(None, (opened,), space)

    def all_leaves(self, flat: torch.Tensor, surveyed: Survey) -> dict[str, torch.Tensor]:
        """Return every leaf of a flat vector's model: views of it, and what is copied."""
        leaves = {**surveyed.space.views(flat), **self._residents.copied(surveyed)}
        return {name: leaves[name] for name in surveyed.reference.leaves}

    def simple_average(self, refs: Sequence[str], base: str | None = None) -> dict[str, torch.Tensor]:
        """Return the plain average of checkpoints, as the `linear` method gives it."""
        models, linear = [{"ref": ref} for ref in refs], {"name": "linear"}
        origin = base if any(self.opened(ref).adapter is not None for ref in refs) else None
        return self.merge(parse_recipe({"version": 1, "base": origin, "models": models, "method": linear})).weights

    def layers(self, recipe: Recipe) -> LayerStats:
        """Say what the merge does at each depth; raises PlanError where a recipe has no base.

        Norms and cosines are of raw task vectors; density and sign conflict are of masked ones.
        """
        plan = self.plan(recipe)
        base = plan.survey.base
        if base is None:
            must = "layers are compared with a base"
            raise PlanError(Problem(must, "a recipe without one", "base", "name a base"))
        stage = self._until_combined(plan, {})
        space, found = plan.space, plan.stages
        segments = space.segments_by_depth
        raw_keys = tuple(self._residents.task_vector_key(base, expert, space) for expert in plan.survey.experts)
        vectors = tuple(self._residents.task_vector(base, expert, space) for expert in plan.survey.experts)
        weight_domain = found.method.domain == "weight"
        masked, mask_keys = (vectors, raw_keys) if weight_domain else (stage.masked, stage.mask_keys)

        grams = self._stages.get(("gram", raw_keys), lambda: gram(vectors, segments))
        kept: MaskStats = self._stages.get(("mask stats", mask_keys), lambda: mask_stats(masked, segments), _small)
        parts = parts_of_one_lambda(space, plan.settings.lambdas)
        merged = self._stages.get(
            ("merged norms", stage.combined_key, tuple(part.spans for part, _ in parts)),
            lambda: squares(stage.combined, stage.base if weight_domain else None, [part for part, _ in parts]),
        )
        shape = profile(found, [part.depth for part in segments], stage.alpha)
        scaled = (1.0,) * len(segments) if found.layer_scaling.applies_to == "each" else shape
        return layer_stats(segments, grams, kept, *at_each_depth(segments, parts, merged, shape, scaled))

    def _until_combined(
        self, plan: Plan, timings: dict[str, float], cancelled: Callable[[], bool] | None = None
    ) -> _Stage:
        """Bring every stage up to the combination, from the cache where nothing upstream changed."""
        found, space, surveyed = plan.stages, plan.space, plan.survey
        with self._timed(timings, "read"):
            base = self._residents.weights(surveyed.base, space) if surveyed.base is not None else None
            vectors, keys = self._inputs(plan)
        begun = time.perf_counter()
        with self._timed(timings, "mask"):
            masked, masked_keys = self._masked(plan, vectors, keys)
        key = combined_key(plan, masked_keys)

        def combine() -> torch.Tensor:
            made = self._combined(plan, masked, masked_keys, cancelled)
            if surveyed.learned is not None and surveyed.learned.masked:
                made.mul_(self._residents.learned_mask(surveyed.learned, space))
            self._paces[found.method.name] = (time.perf_counter() - begun) / plan.merge_seconds
            return made

        with self._timed(timings, "combine"):
            combined = self._stages.get(key, combine, line=("combined", found.method.name, keys))
        alpha = None
        if found.layer_scaling.needs_alpha and surveyed.base is not None and base is not None:
            with self._timed(timings, "alpha"):
                origin = surveyed.base
                raw = [self._residents.task_vector(origin, expert, space) for expert in surveyed.experts]
                norms = self._stages.get(
                    ("norms", key, origin.content()),
                    lambda: norms_for_alpha(
                        raw, terms_of(plan.settings, self.device), _spans(space), combined, base, found.method.domain
                    ),
                    _small,
                )
                alpha = alpha_from_norms(*norms, len(raw), found.layer_scaling.alpha_rule)
        return _Stage(vectors, masked, masked_keys, combined, key, base, alpha)

    def _inputs(self, plan: Plan) -> tuple[tuple[torch.Tensor, ...], tuple[Hashable, ...]]:
        """Return what the method combines, before the mask: task vectors, or weights in the weight domain."""
        surveyed, space, residents = plan.survey, plan.space, self._residents
        if plan.stages.method.domain == "weight" or surveyed.base is None:
            vectors = tuple(residents.weights(expert, space) for expert in surveyed.experts)
        else:
            vectors = tuple(residents.task_vector(surveyed.base, expert, space) for expert in surveyed.experts)
        return vectors, input_keys(plan)

    def _masked(
        self, plan: Plan, vectors: Sequence[torch.Tensor], keys: Sequence[Hashable]
    ) -> tuple[tuple[torch.Tensor, ...], tuple[Hashable, ...]]:
        """Return each vector after layer scaling of each and its mask; the very same vector where both do nothing."""
        found, space = plan.stages, plan.space
        factors = before_mask(found, _depths(space))
        new_keys = mask_keys(plan, keys)

        def one(expert: tuple[int, torch.Tensor, Hashable, Hashable, Checkpoint]) -> torch.Tensor:
            model, vector, key, new_key, checkpoint = expert
            if new_key == key:
                return vector
            content = checkpoint.content() if found.stochastic else ""
            runs = plan.settings.mask_runs(model)
            return self._stages.get(
                new_key,
                lambda: masked_vector(self._stages, plan, vector, key, runs, factors, content),
                line=("masked", key),
            )

        experts = zip(range(len(keys)), vectors, keys, new_keys, plan.survey.experts, strict=True)
        return tuple(self._crew(one, experts)), new_keys

    def _combined(
        self,
        plan: Plan,
        masked: Sequence[torch.Tensor],
        mask_keys: tuple[Hashable, ...],
        cancelled: Callable[[], bool] | None,
    ) -> torch.Tensor:
        """Combine all vectors; what a method finds before it knows weights and parameters is kept.

        That is the sums behind the statistics of each leaf, and what it finds in each leaf that it sees whole.
        """
        found, method = plan.stages, plan.stages.method
        leaves, spans = plan.space.leaves, _spans(plan.space)
        seen = whole_leaves(method, found.params, leaves)
        rest = [place for place in range(len(leaves)) if place not in set(seen)]
        sums: Sequence[Mapping[str, torch.Tensor]] = ()
        if method.leaf_statistics:
            asked = tuple((statistic.name, statistic.of_blocks) for statistic in method.leaf_statistics)
            of_leaves = self._stages.get(
                ("leaf sums", asked, mask_keys), lambda: gather_flat(masked, method, spans, self._crew)
            )
            sums = [of_leaves[place] for place in rest]
        terms = terms_of(plan.settings, self.device)
        beside = self._residents.beside(plan.survey)
        out, context = combine_flat(masked, terms, method, found.params, spans, rest, sums, self._crew, beside.piece)
        whole, own = [leaves[place] for place in seen], [terms[place] for place in seen]
        known = self._found(method, masked, mask_keys, whole)
        return combine_leaves_(out, masked, own, method, context, whole, known, self._crew, cancelled, beside.leaf)

    def _found(
        self,
        method: MethodInfo,
        masked: Sequence[torch.Tensor],
        mask_keys: Sequence[Hashable],
        leaves: Sequence[SpaceLeaf],
    ) -> tuple[Found, ...]:
        """Return what a method finds in the leaves of each expert alone, from the cache where that did not change."""
        places = tuple(leaf.start for leaf in leaves)
        of_each = method.whole_leaf.of_each if method.whole_leaf is not None else None
        return tuple(
            self._stages.get(
                ("found in leaves", of_each, places, key),
                lambda vector=vector: found_in(vector, method, leaves, self._crew),  # type: ignore[misc]
                line=("found in leaves", key),
            )
            for vector, key in zip(masked, mask_keys, strict=True)
        )

    def _check(self, finite: torch.Tensor, flat: torch.Tensor, space: ParameterSpace, dtype: str) -> None:
        error = None if finite else non_finite(space.views(flat).items(), dtype)
        if error is not None:
            raise error

    @contextmanager
    def _timed(self, timings: dict[str, float], stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        timings[stage] = timings.get(stage, 0.0) + (time.perf_counter() - start) * 1e3


def _spans(space: ParameterSpace) -> list[tuple[int, int]]:
    return [(leaf.start, leaf.stop) for leaf in space.leaves]


def _depths(space: ParameterSpace) -> list[Depth]:
    return [leaf.depth for leaf in space.leaves]


def _small(_: object) -> int:
    return 1 << 12

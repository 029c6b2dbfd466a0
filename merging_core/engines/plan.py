"""A recipe checked and priced against checkpoint headers, before any tensor is read.

`survey` opens what a recipe names and builds the space they share; `price` says what the merge will cost. `make_plan`
is both, and raises everything that is wrong at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Protocol

from merging_core.checkpoints.content import PIN_DIGITS
from merging_core.checkpoints.dtypes import item_size
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.cores import MAX_WORKERS, cores
from merging_core.engines.cautions import cautions
from merging_core.engines.learned import Learned, learned_problems, read_learned
from merging_core.engines.means import Means, Room, means_for, need_of, room_problem, room_words
from merging_core.engines.measured import (
    Statistics,
    all_statistics,
    measured_bytes,
    statistics_problems,
    statistics_words,
)
from merging_core.engines.outcomes import Outcome, outcome_rows, outcomes
from merging_core.engines.pricing import Passes, amount, live_memory, merge_seconds, passes_of, seconds
from merging_core.engines.repeated import repeated
from merging_core.engines.settings import Settings, settings_of
from merging_core.engines.varying_leaves import idle_filters, leaf_problems, what_varies
from merging_core.engines.with_adapters import adapter_json, model_words, with_adapters
from merging_core.errors import BasinError, CancelledError, PlanError, Problem
from merging_core.recipes.canonical import canonical, recipe_hash
from merging_core.recipes.recipe import Recipe
from merging_core.recipes.stages import Stages, stages
from merging_core.space.naming import named_like
from merging_core.space.parameter_space import CopiedLeaf, ParameterSpace, build_space
from merging_core.space.vocabulary import BY_TOKEN, token_counts, vocabulary_words, with_vocabulary

__all__ = ["DTYPE_NAMES", "Opens", "Plan", "Survey", "make_plan", "price", "survey"]

DTYPE_NAMES = (("float32", "F32"), ("bfloat16", "BF16"), ("float16", "F16"))
"""A recipe's dtypes and how safetensors spells them."""


class Opens(Protocol):
    """What planning asks of a catalog."""

    def open(self, ref: Ref | str, /) -> Checkpoint: ...


@dataclass(frozen=True, eq=False)
class Survey:
    """The checkpoints that a recipe names, opened, and the space that they share."""

    base: Checkpoint | None
    experts: tuple[Checkpoint, ...]
    space: ParameterSpace
    learned: Learned | None = None
    """The recipe's learned tensors, where it has some."""
    tokens: str | None = None
    """What tells this way of matching rows by their tokens from another, where the recipe does that."""
    statistics: tuple[Statistics | None, ...] = ()
    """What was measured of each expert; nothing where no model of the recipe has statistics."""

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The base, if there is one, and the experts in the recipe's order."""
        return (self.base, *self.experts) if self.base is not None else self.experts

    @property
    def reference(self) -> Checkpoint:
        """Where configuration and copied leaves come from: the base, or the first model."""
        return self.checkpoints[0]

    def outputs(self, dtype: str) -> tuple[LeafSpec, ...]:
        """Every leaf of the merged checkpoint in natural order, merged ones in a recipe's dtype."""
        name = dict(DTYPE_NAMES)[dtype]
        specs = {leaf.name: LeafSpec(leaf.name, name, leaf.shape) for leaf in self.space.leaves}
        specs |= {leaf.name: LeafSpec(leaf.name, leaf.dtype, leaf.shape) for leaf in self.space.copied}
        return tuple(specs[name] for name in self.reference.leaves)


@dataclass(frozen=True, eq=False)
class Plan:
    """What a merge will do and cost; nothing but headers and configurations was read for it."""

    recipe: Recipe
    stages: Stages
    settings: Settings
    """The stages of each leaf: those above, with every number that varies replaced by the leaf's own."""
    survey: Survey
    passes: Passes
    live_bytes: int
    """Peak memory of the live engine for this family and recipe."""
    streaming_bytes: int
    """Peak memory of the streaming engine, the program left out."""
    room: Room
    """What the streaming engine may take."""
    means: Means
    """With what it works, so that it takes no more."""
    warnings: tuple[str, ...]

    @property
    def space(self) -> ParameterSpace:
        """The parameter space of base and experts."""
        return self.survey.space

    @property
    def copied(self) -> tuple[CopiedLeaf, ...]:
        """Leaves that are taken over as they are, each with the reason."""
        return self.space.copied

    @cached_property
    def outputs(self) -> tuple[LeafSpec, ...]:
        """Every leaf of the merged checkpoint in natural order, merged ones in the recipe's dtype."""
        return self.survey.outputs(self.recipe.dtype)

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What becomes of the leaves, and why, with counts and bytes."""
        return outcomes(self.space, self.outputs, self.survey.checkpoints)

    @property
    def resized(self) -> tuple[tuple[str, str], ...]:
        """Leaves with a row for each token of which not all rows are merged, and what becomes of them."""
        return vocabulary_words(self.survey.checkpoints)

    @property
    def output_bytes(self) -> int:
        """The bytes of the data of the merged checkpoint."""
        return sum(leaf.nbytes for leaf in self.outputs)

    @property
    def peak_bytes(self) -> int:
        """Memory that the process of a streaming merge takes at its peak."""
        return self.room.program + self.streaming_bytes

    @property
    def merge_seconds(self) -> float:
        """Seconds that combining takes, about, where base and experts are in memory; more than 0."""
        elements = self.space.size * len(self.survey.experts)
        return merge_seconds(self.passes, max(1, elements), min(MAX_WORKERS, cores()))

    @property
    def estimated_seconds(self) -> float:
        """How long the streaming engine takes at the rates that `Passes.assumption` states."""
        read = sum(checkpoint.nbytes for checkpoint in self.survey.checkpoints)
        read += measured_bytes(self.survey.statistics)
        return seconds(self.passes, read, self.output_bytes, self.space.size * len(self.survey.experts))

    @property
    def unidentified(self) -> tuple[str, ...]:
        """Models whose content digest is not known yet; `pins` and `hash` read every byte of them, once."""
        return tuple(
            checkpoint.label
            for checkpoint in self.survey.checkpoints
            if checkpoint.known_content is None and checkpoint.ref.pin is None
        )

    @cached_property
    def pins(self) -> dict[str, str]:
        """Reference as the recipe writes it → reference with the pin of what it holds; so too of rows by token."""
        refs = [entry.ref for entry in self.recipe.models]
        if self.recipe.base is not None:
            refs.insert(0, self.recipe.base)
        found = {ref: str(_pinned(opened)) for ref, opened in zip(refs, self.survey.checkpoints, strict=True)}
        return found if self.survey.tokens is None else {**found, BY_TOKEN: f"{BY_TOKEN}@{self.survey.tokens}"}

    @cached_property
    def canonical(self) -> str:
        """The canonical text of the recipe, every reference pinned."""
        return canonical(self.recipe, self.pins)

    @cached_property
    def hash(self) -> str:
        """The identity of the merge: 64 hex digits."""
        return recipe_hash(self.recipe, self.pins)

    def as_json(self) -> dict[str, Any]:
        """Return everything a person or a program may want to know; `hash` is null while a content is unknown."""
        known = not self.unidentified
        return {
            "recipe": self.recipe.as_json(),
            "canonical": self.canonical if known else None,
            "hash": self.hash if known else None,
            "unidentified": list(self.unidentified),
            "models": [_model_json(checkpoint) for checkpoint in self.survey.checkpoints],
            "elements": self.space.size,
            "merged": [
                {"name": leaf.name, "shape": list(leaf.shape), "from": leaf.dtype} for leaf in self.space.leaves
            ],
            "copied": [{"name": leaf.name, "dtype": leaf.dtype, "reason": leaf.reason} for leaf in self.copied],
            "leaves": [outcome.as_json() for outcome in self.outcomes],
            "resized": [{"name": name, "what": words} for name, words in self.resized],
            "tokens": token_counts(self.survey.checkpoints),
            "dtype": self.recipe.dtype,
            "output_bytes": self.output_bytes,
            "memory": {
                "live": self.live_bytes,
                "streaming": self.streaming_bytes,
                "program": self.room.program,
                "peak": self.peak_bytes,
                "allowed": self.room.total,
            },
            "means": asdict(self.means),
            "passes": {"experts": self.passes.reads, "why": list(self.passes.why)},
            "estimated_seconds": round(self.estimated_seconds, 3),
            "assumption": self.passes.assumption,
            "varies": list(what_varies(self.recipe)),
            "learned": self.survey.learned.words if self.survey.learned is not None else None,
            "statistics": list(statistics_words(self.survey.statistics)),
            "warnings": list(self.warnings),
        }

    def table(self) -> str:
        """Return the plan as plain text, one fact a line."""
        known = not self.unidentified
        rows = [
            ("merge", f"{self.stages.method.title} of {len(self.survey.experts)}, λ {self.recipe.lambda_:g}"),
            *(("varies", text) for text in what_varies(self.recipe)),
            *([("learned", self.survey.learned.words)] if self.survey.learned is not None else []),
            *(("measured", words) for words in statistics_words(self.survey.statistics)),
            *(("model", model_words(checkpoint)) for checkpoint in self.survey.checkpoints),
            *(row for outcome in self.outcomes for row in outcome_rows(outcome)),
            *(("resized", f"{name}: {words}") for name, words in self.resized),
            ("output", amount(self.output_bytes)),
            ("memory", f"{amount(self.streaming_bytes)} streaming beside the program, {amount(self.live_bytes)} live"),
            *(("allowed", text) for text in room_words(self.room, self.means, self.peak_bytes)),
            ("passes", f"at most {self.passes.reads} over the experts ({'; '.join(self.passes.why)})"),
            ("time", f"about {self.estimated_seconds:.1f} s streaming, at {self.passes.assumption}"),
            ("hash", self.hash if known else f"not known before {', '.join(self.unidentified)} are read"),
            *(("warning", text) for text in self.warnings),
        ]
        return "\n".join(f"{name:<8} {text}" for name, text in rows)


def make_plan(
    recipe: Recipe, catalog: Opens, refusals: Mapping[str, BasinError] | None = None, room: Room | None = None
) -> Plan:
    """Check and price a recipe from headers alone.

    `refusals` are those of a `Resolution`: they are told with what is wrong with the other models. `room` is what
    merging to a folder may take, by default all memory of the machine.
    Raises CheckpointError, SpaceError or PlanError with every problem found; PlanError where there are several kinds.
    """

    def opened(ref: str) -> Checkpoint:
        if refusals is not None and ref in refusals:
            raise refusals[ref]
        return catalog.open(ref)

    return price(recipe, survey(recipe, opened), room)


def survey(recipe: Recipe, open_checkpoint: Callable[[str], Checkpoint]) -> Survey:
    """Open everything that a recipe names and build the space.

    What cannot be opened and what the rest do not share are both told: the space of those that could be opened is still
    checked. Raises as `make_plan` does.
    """
    problems: list[Problem] = []
    errors: list[BasinError] = []

    def opened(ref: str, where: str) -> Checkpoint | None:
        try:
            return open_checkpoint(ref)
        except CancelledError:
            raise
        except BasinError as error:
            errors.append(error)
            problems.extend(error.located(where).problems)
            return None

    base = opened(recipe.base, "base") if recipe.base is not None else None
    found = [opened(entry.ref, f"models[{index}]") for index, entry in enumerate(recipe.models)]
    config = next((model.config for model in (base, *found) if model is not None and model.config), {})
    base = base.tied_by(config) if base is not None else None
    found = [model.tied_by(config) if model is not None else None for model in found]
    base, found, unfit = with_adapters(base, found, named=recipe.base is not None)
    problems += unfit
    reference = next((model for model in (base, *found) if model is not None), None)
    found = [named_like(reference, model) if model is not None and reference is not None else None for model in found]
    shaped = with_vocabulary(recipe.vocabulary, [base, *found])
    base, *found = shaped.models
    problems += shaped.problems
    experts = tuple(expert for expert in found if expert is not None)
    problems += repeated(found)
    space = None
    if base is not None or experts:
        try:
            space = build_space(base, experts)
        except BasinError as error:
            errors.append(error)
            problems.extend(error.problems)
    learned = None
    if recipe.tensors is not None:
        tensors = opened(recipe.tensors, "tensors")
        if tensors is not None and space is not None and not problems:
            learned = read_learned(tensors, space, len(experts))
    statistics = tuple(
        opened(entry.statistics, f"models[{index}].statistics") if entry.statistics is not None else None
        for index, entry in enumerate(recipe.models)
    )
    if problems or space is None:
        raise _one_error(errors, problems)
    return Survey(base, experts, space, learned, shaped.tokens, all_statistics(statistics, space))


def price(recipe: Recipe, surveyed: Survey, room: Room | None = None) -> Plan:
    """Say what a recipe costs on checkpoints that are opened already.

    Raises PlanError if this machine cannot do it, or not within `room`.
    """
    found = stages(recipe)
    space = surveyed.space
    learned = surveyed.learned
    settings = settings_of(found, space.leaves, learned.coefficients if learned is not None else ())
    output = item_size(dict(DTYPE_NAMES)[recipe.dtype])
    room = room or Room()
    passes = passes_of(found, settings, space, surveyed.base is not None)
    need = need_of(found, settings, space, surveyed.experts, output)
    means = means_for(need, passes.reads, room)
    plan = Plan(
        recipe=recipe,
        stages=found,
        settings=settings,
        survey=surveyed,
        passes=passes,
        live_bytes=live_memory(found, settings, space, len(surveyed.experts), surveyed.base is not None)
        + (4 * space.size if learned is not None and learned.masked else 0)
        + measured_bytes(surveyed.statistics),
        streaming_bytes=need.peak(means),
        room=room,
        means=means,
        warnings=(*cautions(recipe, surveyed.checkpoints, surveyed.experts), *idle_filters(recipe, space.leaves)),
    )
    problems = leaf_problems(found, settings, space.leaves) + learned_problems(learned, found.method)
    problems += statistics_problems(recipe, found.method, surveyed.statistics, surveyed.experts)
    if space.size == 0:
        problems.append(Problem("some leaf has elements", "none", surveyed.reference.label))
    if (short := room_problem(need, means, room)) is not None:
        problems.append(short)
    if problems:
        raise PlanError(*problems)
    return plan


def _one_error(errors: list[BasinError], problems: list[Problem]) -> BasinError:
    kinds = {type(error) for error in errors}
    return kinds.pop()(*problems) if len(kinds) == 1 else PlanError(*problems)


def _pinned(opened: Checkpoint) -> Ref:
    if opened.ref.commit is not None:
        return opened.ref
    content = opened.pin_content
    return replace(opened.ref, pin=content[:PIN_DIGITS] if opened.ref.scheme == "zoo" else content)


def _shown_ref(checkpoint: Checkpoint) -> str:
    if checkpoint.ref.scheme == "file":
        return checkpoint.label
    return str(checkpoint.ref if checkpoint.ref.scheme == "hub" else checkpoint.ref.unpinned)


def _model_json(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "ref": _shown_ref(checkpoint),
        "bytes": checkpoint.nbytes,
        "elements": checkpoint.elements,
        "dtypes": list(checkpoint.dtypes),
        "content": checkpoint.known_content,
        **adapter_json(checkpoint),
    }

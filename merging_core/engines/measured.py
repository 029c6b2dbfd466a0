"""Statistics of a recipe's models: what stands in their files, whether they fit, and what a combination reads of them.

    about           U8: a text of JSON that says of what they are (`About`)
    size            [1] F64: the length ‖·‖₂ of everything that was measured
    fisher/<leaf>   the leaf's shape: the diagonal of the Fisher information
    gram/<leaf>     [in, in]: the mean of x xᵀ over what the linear layer reads, of a leaf [out, in]
    turned/<leaf>   the same of a leaf [in, out]

The text is part of the content, so that a recipe's hash says too of which expert and of which examples they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

import torch

from merging_core.checkpoints.dtypes import is_floating
from merging_core.checkpoints.header import LeafHeader
from merging_core.checkpoints.reader import Checkpoint, Reading
from merging_core.errors import PlanError, Problem
from merging_core.methods.contract import MethodInfo
from merging_core.methods.measured import Measured
from merging_core.recipes.recipe import Recipe
from merging_core.space.parameter_space import ParameterSpace, SpaceLeaf

__all__ = [
    "ABOUT",
    "FISHER",
    "GRAM",
    "SIZE",
    "TURNED",
    "About",
    "Statistics",
    "all_statistics",
    "check_measured_experts",
    "leaf_measured",
    "measured_bytes",
    "read_statistics",
    "sampled_statistics",
    "statistics_of",
    "statistics_problems",
    "statistics_words",
]

ABOUT, SIZE = "about", "size"
FISHER, GRAM, TURNED = "fisher/", "gram/", "turned/"
_LISTED = 8
_LONGEST = 4096
_FORMS = {
    "exact": "Fisher information, exact over the classes,",
    "batch": "Fisher information, of whole batches,",
    "own": "Gram matrices",
    "merged": "Gram matrices through the merged layers",
}
_MUST = {"fisher": "the Fisher information", "gram": "the Gram matrices"}


@dataclass(frozen=True)
class About:
    """Of what statistics are."""

    kind: Literal["fisher", "gram"]
    form: str
    """`exact` or `batch` of Fisher information; `own` or `merged` of Gram matrices, by the layers before."""
    expert: str
    """The content digest of the expert."""
    task: str
    split: str
    n: int
    seed: int
    data: str
    """A digest of the examples, and of the head behind the model."""
    merge: str = ""
    """Of Gram matrices through merged layers, a digest of everything that these depend on."""

    def tensor(self) -> torch.Tensor:
        """Return the text as bytes."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=True)
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    @property
    def words(self) -> str:
        """Say it to a person."""
        return f"{_FORMS[self.form]} of {self.n} examples of {self.task} ({self.split}), seed {self.seed}"


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of one expert that fit a space."""

    checkpoint: Checkpoint
    about: About
    size: float
    leaves: dict[str, LeafHeader]
    """By the leaf that they are of."""

    def read(self, reading: Reading, leaf: SpaceLeaf, start: int, stop: int) -> torch.Tensor | None:
        """Return what was measured of a piece of a leaf, [n] float32, if something was; raises as reading does."""
        header = self.leaves.get(leaf.name)
        return None if header is None else reading.read_range(header.name, start, stop).to(torch.float32)

    def flat(self, space: ParameterSpace, device: torch.device) -> torch.Tensor:
        """Return numbers like a model's own as one vector [N], NaN where there are none; raises as reading does."""
        found = torch.full((space.size,), float("nan"), dtype=torch.float32, device=device)
        with self.checkpoint.reading() as reading:
            for leaf in space.leaves:
                piece = self.read(reading, leaf, 0, leaf.elements)
                if piece is not None:
                    found[leaf.start : leaf.stop].copy_(piece)
        return found

    def gram(self, leaf: str) -> torch.Tensor:
        """Return the Gram matrix of a leaf in float32, one without elements where there is none."""
        header = self.leaves.get(leaf)
        return torch.empty(0, 0) if header is None else self.checkpoint.read(header.name).to(torch.float32)

    def turned(self, leaf: str) -> bool:
        """Say whether a leaf is [in, out]."""
        return leaf in self.leaves and self.leaves[leaf].name.startswith(TURNED)


def read_statistics(checkpoint: Checkpoint, space: ParameterSpace, where: str) -> Statistics:
    """Check a file of statistics against a space; raises PlanError with all that is wrong, and as reading does."""
    problems: list[Problem] = []
    about = _about(checkpoint, where, problems)
    leaves = {leaf.name: leaf for leaf in space.leaves}
    found: dict[str, LeafHeader] = {}
    for name, header in checkpoint.leaves.items():
        if name in (ABOUT, SIZE):
            continue
        kind, _, own = name.partition("/")
        known = leaves.get(own)
        if known is None or f"{kind}/" not in (FISHER, GRAM, TURNED):
            problems.append(Problem("statistics are of merged leaves", "another name", f"{where}: {name}"))
            continue
        wanted = _shape(f"{kind}/", known)
        if header.shape != wanted or not is_floating(header.dtype):
            must = f"it has the shape {list(wanted)}, floating" if wanted else "it is of a matrix"
            problems.append(Problem(must, f"{header.dtype} {list(header.shape)}", f"{where}: {name}"))
        found[own] = header
    size = 0.0
    if SIZE in checkpoint.leaves and checkpoint.leaves[SIZE].shape == (1,):
        size = float(checkpoint.read(SIZE))
    else:
        problems.append(Problem("statistics say their size", "nothing", where, "measure them again"))
    if problems or about is None:
        more = len(problems) - _LISTED
        rest = [Problem("all statistics fit", f"{more} more that do not", where)] if more > 0 else []
        raise PlanError(*problems[:_LISTED], *rest)
    return Statistics(checkpoint, about, size, found)


def statistics_problems(
    recipe: Recipe, info: MethodInfo, statistics: Sequence[Statistics | None], experts: Sequence[Checkpoint]
) -> list[Problem]:
    """Say which models lack the statistics that a method reads, or have others, as far as it is known by now."""
    if not info.measures:
        return []
    fix = "measure it under Learn, or with the command learn"
    if not any(entry.statistics for entry in recipe.models):
        must = f"{info.title} knows {_MUST[info.measures]} of each expert"
        return [Problem(must, "no statistics", "models", fix)]
    problems = []
    for place, (entry, expert) in enumerate(zip(recipe.models, experts, strict=True)):
        where, found = f"models[{place}].statistics", statistics[place] if statistics else None
        if entry.statistics is None or found is None:
            must = f"{info.title} knows {_MUST[info.measures]} of each expert"
            problems.append(Problem(must, "nothing", where, fix))
        elif found.about.kind != info.measures:
            must = f"{info.title} reads {_MUST[info.measures]}"
            problems.append(Problem(must, _MUST[found.about.kind], where, "measure what it reads"))
        elif expert.known_content not in (None, found.about.expert):
            problems.append(_of_another(expert, where))
    return problems


def all_statistics(opened: Sequence[Checkpoint | None], space: ParameterSpace) -> tuple[Statistics | None, ...]:
    """Check the statistics of every model that has some; nothing where none has. Raises PlanError with all problems."""
    if not any(opened):
        return ()
    found: list[Statistics | None] = []
    problems: list[Problem] = []
    for place, checkpoint in enumerate(opened):
        try:
            known = read_statistics(checkpoint, space, f"models[{place}].statistics") if checkpoint else None
        except PlanError as error:
            problems += error.problems
            known = None
        found.append(known)
    if problems:
        raise PlanError(*problems)
    return tuple(found)


def measured_bytes(statistics: Sequence[Statistics | None]) -> int:
    """Return the bytes of all statistics."""
    return sum(found.checkpoint.nbytes for found in statistics if found is not None)


def statistics_words(statistics: Sequence[Statistics | None]) -> tuple[str, ...]:
    """Say of each statistics of what they are."""
    return tuple(found.about.words for found in statistics if found is not None)


def check_measured_experts(statistics: Sequence[Statistics | None], experts: Sequence[Checkpoint]) -> None:
    """Raise PlanError for every expert that statistics are not of; reads what is not known of the experts' content."""
    wrong = [
        _of_another(expert, f"models[{place}].statistics")
        for place, (found, expert) in enumerate(zip(statistics, experts, strict=False))
        if found is not None and expert.content() != found.about.expert
    ]
    if wrong:
        raise PlanError(*wrong)


def leaf_measured(statistics: Sequence[Statistics | None], leaf: str, device: torch.device) -> Measured:
    """Return what was measured of what a linear layer reads, of every expert; raises as reading does."""
    known = [one for one in statistics if one is not None]
    grams = tuple(one.gram(leaf).to(device) for one in known)
    return Measured(grams, turned=any(one.turned(leaf) for one in known))


def sampled_statistics(
    statistics: Checkpoint, cuts: Iterable[tuple[str, tuple[int, ...], Sequence[tuple[int, int]]]]
) -> dict[str, torch.Tensor]:
    """Return what was measured of parts of leaves (name, shape, ranges of elements); of matrices, of a corner."""
    found = {}
    with statistics.reading() as reading:
        for name, shape, spans in cuts:
            if FISHER + name in statistics.leaves:
                parts = [reading.read_range(FISHER + name, start, stop) for start, stop in spans]
                found[FISHER + name] = torch.cat(parts).view(shape)
            for kind, side in ((GRAM, 1), (TURNED, 0)):
                if kind + name in statistics.leaves:
                    found[kind + name] = reading.read(kind + name)[: shape[side], : shape[side]].contiguous()
    return found


def statistics_of(statistics: Checkpoint, expert: str) -> dict[str, torch.Tensor]:
    """Return what statistics say of themselves, of another expert; raises PlanError where they do not."""
    problems: list[Problem] = []
    about = _about(statistics, statistics.label, problems)
    if about is None:
        raise PlanError(*problems)
    return {ABOUT: replace(about, expert=expert).tensor(), SIZE: statistics.read(SIZE)}


def _of_another(expert: Checkpoint, where: str) -> Problem:
    return Problem(f"the statistics are of {expert.label}", "those of another model", where, "measure this one")


def _shape(kind: str, leaf: SpaceLeaf) -> tuple[int, ...]:
    if kind == FISHER:
        return leaf.shape
    if len(leaf.shape) != 2:  # noqa: PLR2004
        return ()
    inside = leaf.shape[1 if kind == GRAM else 0]
    return inside, inside


def _about(checkpoint: Checkpoint, where: str, problems: list[Problem]) -> About | None:
    header = checkpoint.leaves.get(ABOUT)
    must, fix = "statistics say of what they are", "measure them again"
    if header is None or header.dtype != "U8" or not 0 < header.elements <= _LONGEST:
        problems.append(Problem(must, "nothing that can be read", where, fix))
        return None
    try:
        told = json.loads(bytes(checkpoint.read(ABOUT).tolist()))
        about = About(**{field.name: told[field.name] for field in fields(About)})
    except (ValueError, KeyError, TypeError):
        problems.append(Problem(must, "something else", where, fix))
        return None
    fits = {"exact": "fisher", "batch": "fisher", "own": "gram", "merged": "gram"}
    texts = (about.expert, about.task, about.split, about.data, about.merge, about.form)
    whole = all(isinstance(number, int) for number in (about.n, about.seed))
    if not all(isinstance(text, str) for text in texts) or not whole or fits.get(about.form) != about.kind:
        problems.append(Problem(must, "something else", where, fix))
        return None
    return about

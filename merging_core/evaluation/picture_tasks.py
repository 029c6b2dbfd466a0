"""Image classification tasks out of labelled pictures: divided by seed, decoded, and kept as one tensor a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy
import torch
from numpy.typing import NDArray

from merging_core.cores import MAX_WORKERS, cores
from merging_core.errors import CancelledError, EvaluationError, Problem
from merging_core.evaluation.heads import Head
from merging_core.evaluation.preprocessing import Preprocessing, decoded
from merging_core.evaluation.sources.pictures import ALL, PictureSet
from merging_core.evaluation.splitting import SHARES, divided, portion
from merging_core.evaluation.tasks import SPLITS, Split, Task

__all__ = ["MAX_EXAMPLES", "Chosen", "check_memory", "chosen", "picture_task"]

MAX_EXAMPLES = 20_000
"""Most examples of a split; 20 000 pictures of 224 × 224 take 3 GB."""
_BYTES = 4 << 30
_AT_ONCE = 64

Chosen = dict[str, tuple[str, tuple[int, ...]]]
"""By split, in the order of `SPLITS`: the source's split that its examples come from, and their indices there."""
Progress = Callable[[int, int], None]
_File = tuple[tuple[int, str, int], bytes]
"""(index in the source, split, row in the split), and the bytes."""


def picture_task(
    found: PictureSet,
    preprocessing: Preprocessing,
    head: Head,
    *,
    seed: int = 0,
    at_most: Mapping[str, int] | None = None,
    name: str = "",
    title: str = "",
    licence: str = "unknown",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Task:
    """Return a task of the pictures, in the four splits that `chosen` gives.

    `at_most`: examples by split (`MAX_EXAMPLES` where it says nothing); each class keeps its share. The description
    says which splits are the source's own, which were made by seed, and what was left out. `progress(done, of)` is
    told after every few pictures; `cancelled()` is asked as often. Raises EvaluationError (a picture that cannot be
    read, a split without examples, too much memory) and CancelledError.
    """
    picked, words = chosen(found, seed, at_most)
    side = preprocessing.side
    check_memory(sum(len(indices) for _, indices in picked.values()), side, found.name)
    images = _read(found, picked, preprocessing, progress, cancelled)
    key = name or found.name
    splits = {}
    for split, (origin, indices) in picked.items():
        labels = torch.tensor([found.splits[origin].labels[index] for index in indices], dtype=torch.int64)
        splits[split] = Split(images[split], None if split == "calibration" else labels, f"{key} {split}")
    return Task(
        name=key, title=title or key, description=words, classes=found.classes, image_size=side, channels=3,
        mean=preprocessing.mean, std=preprocessing.std, head=head, splits=splits, licence=licence, source=found.source,
        rescale=preprocessing.rescale,
    )  # fmt: skip


def check_memory(pictures: int, side: int, where: str) -> None:
    """Raise EvaluationError where so many pictures of `side` × `side` are more than a task may hold in memory."""
    size = 3 * side * side * pictures
    if size > _BYTES:
        must, fix = f"the pictures take at most {_BYTES / 1e9:.1f} GB in memory", "take fewer examples of each split"
        got = f"{size / 1e9:.1f} GB for {pictures:,} pictures of {side} × {side}"
        raise EvaluationError(Problem(must, got, where, fix))


def chosen(found: PictureSet, seed: int, at_most: Mapping[str, int] | None = None) -> tuple[Chosen, str]:
    """Return which pictures each split gets, and a sentence or two that say how it came to that.

    A source without a train split is divided into all four by `SHARES`; otherwise test and validation are the source's
    own where it has them, and what is missing is taken from train in the proportions of `SHARES`. Calibration is always
    made, as no source has inputs without labels. Raises EvaluationError with every split that would be empty.

    Divided by `splitting.divided`: class by class, by the sha256 of seed and index.
    """
    limits = {split: MAX_EXAMPLES for split in SPLITS} | dict(at_most or {})
    own = [split for split in ("validation", "test") if split in found.splits]
    origin = "train" if "train" in found.splits else ALL if ALL in found.splits else own[-1]
    if origin in own:
        own = []
    made = [split for split in SPLITS if split not in own]
    pool = found.splits[origin].labels
    text = f"{found.name} {seed}"
    parts: Chosen = {
        split: (origin, indices) for split, indices in divided(pool, {one: SHARES[one] for one in made}, text).items()
    }
    parts |= {split: (split, tuple(range(len(found.splits[split].labels)))) for split in own}
    picked: Chosen = {}
    cut = []
    for split in SPLITS:
        where, indices = parts[split]
        labels = [found.splits[where].labels[index] for index in indices]
        kept = portion(labels, limits[split], f"{text} {split}")
        if len(kept) < len(indices):
            cut.append(f"{split} {len(kept):,} of {len(indices):,}")
        picked[split] = (where, tuple(indices[place] for place in kept))
    empty = [split for split, (_, indices) in picked.items() if not indices]
    if empty:
        must, fix = "every split has an example", "an accuracy over no example is not a number; give more pictures"
        raise EvaluationError(*(Problem(must, "none", f"{found.name}: {split}", fix) for split in empty))
    return picked, _words(found, own, made, origin, seed, cut)


def _words(
    found: PictureSet, own: Sequence[str], made: Sequence[str], origin: str, seed: int, cut: Sequence[str]
) -> str:
    given = f"{_listed(own)} as the source divides them; " if own else ""
    rest = "the source" if origin == ALL else f"its {origin} split"
    sentence = f"{given}{_listed(made)} made from {rest} by seed {seed}, class by class."
    return f"{sentence[0].upper()}{sentence[1:]}" + (f" Left out to save time: {_listed(cut)} kept." if cut else "")


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _read(
    found: PictureSet,
    picked: Chosen,
    preprocessing: Preprocessing,
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> dict[str, torch.Tensor]:
    """Decode every chosen picture once, source split by source split, a few at a time on all cores."""
    side, total = preprocessing.side, sum(len(indices) for _, indices in picked.values())
    images = {
        split: torch.empty(len(indices), 3, side, side, dtype=torch.uint8) for split, (_, indices) in picked.items()
    }
    done = 0
    with ThreadPoolExecutor(min(MAX_WORKERS, cores()), thread_name_prefix="basin-pictures") as pool:
        for origin in dict.fromkeys(where for where, _ in picked.values()):
            places = sorted(
                (index, split, row)
                for split, (where, indices) in picked.items()
                if where == origin
                for row, index in enumerate(indices)
            )
            files = found.splits[origin].read([index for index, _, _ in places])
            for piece in _pieces(zip(places, files, strict=True)):
                if cancelled is not None and cancelled():
                    raise CancelledError(Problem("pictures are read while they are wanted", "a newer request"))
                pixels = partial(_pixels, preprocessing, f"{found.name}: {origin}")
                for ((_, split, row), _), values in zip(piece, pool.map(pixels, piece), strict=True):
                    images[split][row] = torch.from_numpy(values)
                done += len(piece)
                if progress is not None:
                    progress(done, total)
    return images


def _pixels(preprocessing: Preprocessing, where: str, file: _File) -> NDArray[numpy.uint8]:
    (index, _, _), data = file
    try:
        return preprocessing.pixels(decoded(data))
    except EvaluationError as error:
        problems = (replace(problem, where=f"{where}: picture {index}") for problem in error.problems)
        raise EvaluationError(*problems) from None


def _pieces(rows: Iterator[_File]) -> Iterator[list[_File]]:
    while piece := list(islice(rows, _AT_ONCE)):
        yield piece

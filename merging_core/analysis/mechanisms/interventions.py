"""Changes of pictures: some leave the shape and change the texture, some leave the texture and destroy the shape.

What is figure and what is ground is told by brightness: Otsu's threshold divides a picture in two, and the ground is
what most of its edge belongs to. So a change works on pictures of any task, light on dark or dark on light, gray or in
colours. Chance comes from the seed and the picture's own bytes: the same picture is changed in the same way wherever
and in whatever order it is looked at.

Source: Lubana et al. 2023, arXiv:2211.08422 (interventions on properties of the input); Geirhos et al. 2019,
arXiv:1811.12231 (shape against texture); Otsu 1979, IEEE Transactions on Systems, Man and Cybernetics 9.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy
import torch
from numpy.typing import NDArray

from merging_core.evaluation.tasks import Task

__all__ = ["Changed", "Intervention", "changed", "interventions"]

Picture = NDArray[numpy.float64]
"""One picture, `[channels, side, side]`, from 0 to 255."""
Chance = numpy.random.Generator

_LUMA = numpy.array([0.299, 0.587, 0.114])
_GRIDS = (4, 3, 2)


@dataclass(frozen=True)
class Intervention:
    """One change of pictures. `keeps`: which property of the two it leaves as it is."""

    name: str
    title: str
    keeps: Literal["shape", "texture"]
    sentence: str
    made: Callable[[Picture, Chance], Picture] = field(repr=False)

    def as_json(self) -> dict[str, str]:
        """Return what a page says of it."""
        return {"name": self.name, "title": self.title, "keeps": self.keeps, "sentence": self.sentence}


@dataclass(frozen=True, eq=False)
class Changed(Task):
    """A task whose pictures are changed before a model sees them."""

    intervention: Intervention | None = None
    seed: int = 0

    @classmethod
    def of(cls, task: Task, intervention: Intervention, seed: int) -> Changed:
        """Return a task with its pictures changed."""
        own = {one.name: getattr(task, one.name) for one in fields(Task)}
        return cls(**own, intervention=intervention, seed=seed)

    def prepared(self, rows: torch.Tensor) -> torch.Tensor:
        """Return changed pictures as a model takes them."""
        return super().prepared(rows if self.intervention is None else changed(rows, self.intervention, self.seed))


def interventions() -> tuple[Intervention, ...]:
    """Return all changes: those that keep the shape first.

    >>> [one.name for one in interventions() if one.keeps == "texture"]
    ['shuffled', 'tiles', 'turned']
    """
    shape: Literal["shape"] = "shape"
    texture: Literal["texture"] = "texture"
    return (
        Intervention("inverted", "Inverted", shape, "Light and dark change places.", _inverted),
        Intervention("blurred", "Blurred", shape, "A Gaussian of a twentieth of the side takes the detail.", _blurred),
        Intervention("noise", "Filled with noise", shape, "The figure is filled with noise.", _noise),
        Intervention("striped", "Striped", shape, "The figure is filled with stripes.", _striped),
        Intervention("shuffled", "Patches shuffled", texture, "The patches of a grid change places.", _shuffled),
        Intervention("tiles", "Patches turned", texture, "Each patch of a grid is turned.", _turned_patches),
        Intervention("turned", "Turned", texture, "The whole picture is turned, by a quarter or a half.", _turned),
    )


def changed(pictures: torch.Tensor, intervention: Intervention, seed: int) -> torch.Tensor:
    """Return changed pictures, uint8 `[n, channels, side, side]` as they came.

    >>> inverted = interventions()[0]
    >>> changed(torch.tensor([[[[0, 255], [10, 0]]]], dtype=torch.uint8), inverted, 0).tolist()
    [[[[255, 0], [245, 255]]]]
    """
    given = pictures.cpu().numpy()
    out = numpy.empty_like(given)
    for place, one in enumerate(given):
        made = intervention.made(one.astype(numpy.float64), _chance(one, intervention.name, seed))
        out[place] = numpy.rint(numpy.clip(made, 0.0, 255.0))
    return torch.from_numpy(out).to(pictures.device)


def _chance(picture: NDArray[numpy.uint8], name: str, seed: int) -> Chance:
    digest = hashlib.blake2b(picture.tobytes(), digest_size=8, key=f"{seed} {name}".encode()).digest()
    return numpy.random.Generator(numpy.random.PCG64(int.from_bytes(digest, "big")))


def _inverted(picture: Picture, chance: Chance) -> Picture:
    return 255.0 - picture


def _blurred(picture: Picture, chance: Chance) -> Picture:
    """Weigh pixels by a Gaussian along each axis; at the edge, those that are there."""
    places = numpy.arange(picture.shape[-1])
    weights = numpy.exp(-0.5 * ((places[:, None] - places) / (len(places) / 20)) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    found: Picture = weights @ picture @ weights.T
    return found


def _noise(picture: Picture, chance: Chance) -> Picture:
    return _filled(picture, chance.uniform(0.2, 1.0, picture.shape[1:]))


def _striped(picture: Picture, chance: Chance) -> Picture:
    """Stripes of a sixteenth of the side, upright, lying or slanting."""
    side = picture.shape[-1]
    down, across = numpy.indices((side, side))
    along = (across, down, across + down, across - down)[chance.integers(4)]
    return _filled(picture, numpy.where(along // max(1, side // 16) % 2 == 0, 1.0, 0.25))


def _shuffled(picture: Picture, chance: Chance) -> Picture:
    patches = _patches(picture)
    order = chance.permutation(len(patches))
    return _joined([patches[place] for place in order], picture)


def _turned_patches(picture: Picture, chance: Chance) -> Picture:
    patches = _patches(picture)
    turns = chance.integers(1, 4, len(patches)).tolist()
    return _joined([numpy.rot90(one, turn, (1, 2)) for one, turn in zip(patches, turns, strict=True)], picture)


def _turned(picture: Picture, chance: Chance) -> Picture:
    return numpy.rot90(picture, int(chance.integers(1, 4)), (1, 2))


def _filled(picture: Picture, strength: NDArray[numpy.float64]) -> Picture:
    """Let the figure stand out from the ground by a share of what it did, pixel by pixel."""
    figure = _figure(picture)
    ground = picture[:, ~figure].mean(axis=1)[:, None, None] if not figure.all() else numpy.zeros((len(picture), 1, 1))
    return numpy.where(figure, ground + (picture - ground) * strength, picture)


def _figure(picture: Picture) -> NDArray[numpy.bool_]:
    """Return which pixels are figure, `[side, side]`."""
    light = picture[0] if len(picture) != len(_LUMA) else numpy.tensordot(_LUMA, picture, 1)
    bright = light > _threshold(light)
    edge = numpy.concatenate((bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]))
    return bright if edge.mean() <= 0.5 else ~bright


def _threshold(light: NDArray[numpy.float64]) -> float:
    """Return the brightness that divides pixels into two classes with means as far apart as can be."""
    counts = numpy.bincount(numpy.rint(light).astype(numpy.int64).ravel(), minlength=256)[:256].astype(numpy.float64)
    below, sums = numpy.cumsum(counts), numpy.cumsum(counts * numpy.arange(256))
    above = below[-1] - below
    with numpy.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(numpy.argmax(numpy.nan_to_num(between, nan=-1.0))) + 0.5


def _grid(side: int) -> int:
    """Return how many patches lie side by side: 4, or what divides the side."""
    return next((count for count in _GRIDS if side % count == 0), 1)


def _patches(picture: Picture) -> list[Picture]:
    channels, side, _ = picture.shape
    count = _grid(side)
    tiles = picture.reshape(channels, count, side // count, count, side // count).transpose(1, 3, 0, 2, 4)
    return list(tiles.reshape(count * count, channels, side // count, side // count))


def _joined(patches: Sequence[Picture], like: Picture) -> Picture:
    channels, side, _ = like.shape
    count = _grid(side)
    tiles = numpy.stack(patches).reshape(count, count, channels, side // count, side // count)
    return tiles.transpose(2, 0, 3, 1, 4).reshape(like.shape)

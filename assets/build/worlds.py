"""Masks for the generated tasks: each function draws `n` masks and their labels from one NumPy generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from assets.build.drawing import MASK, Mask, Points, discs, figure, glyph, regular, scattered
from assets.build.fonts import Face, all_faces, faces_with
from assets.build.taskfiles import Labels

Draw = Callable[[numpy.random.Generator, int], tuple[NDArray[numpy.uint8], Labels]]
"""(generator, n) -> masks `[n, 48, 48]`, labels `[n]`; classes as equally often as n allows."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
GREEK = "αβγδεζηθικλμνξοπρστυφχψω"
STYLES = ("sans", "serif", "mono", "script", "italic", "heavy")
SHAPES = ("circle", "triangle", "square", "pentagon", "hexagon", "star", "cross", "crescent", "heart", "half disc")
LARGEST_COUNT = 8


def balanced(rng: numpy.random.Generator, n: int, classes: int) -> Labels:
    """Return `n` labels in random order, each class as often as any other (give or take one)."""
    return rng.permutation(numpy.arange(n) % classes).astype(numpy.int64)


def collect(rng: numpy.random.Generator, n: int, classes: int, one: Callable[[int], Mask]) -> tuple[Mask, Labels]:
    """Draw one mask for each of `n` balanced labels."""
    labels = balanced(rng, n, classes)
    return numpy.stack([one(int(label)) for label in labels]), labels


def draw_letters(rng: numpy.random.Generator, n: int) -> tuple[Mask, Labels]:
    """Draw Latin letters, capital or small alike, in any face that is not heavy display type."""
    faces = faces_with(all_faces(), LETTERS + LETTERS.lower())

    def one(label: int) -> Mask:
        letter = LETTERS[label]
        face = faces[int(rng.integers(len(faces)))]
        return glyph(face, letter if rng.random() < 0.5 else letter.lower(), 32)

    return collect(rng, n, len(LETTERS), one)


def draw_greek(rng: numpy.random.Generator, n: int) -> tuple[Mask, Labels]:
    """Draw small Greek letters in any face that has them."""
    faces = faces_with(all_faces(), GREEK)
    return collect(rng, n, len(GREEK), lambda label: glyph(faces[int(rng.integers(len(faces)))], GREEK[label], 32))


def style_of(face: Face) -> str | None:
    """Return the style class of a face, or None where it shows none clearly."""
    if face.kind in ("mono", "script"):
        return face.kind if not (face.kind == "mono" and (face.italic or face.weight > 500)) else None
    if face.italic:
        return "italic" if face.weight < 600 else None
    if face.weight >= 800 or face.kind == "display":
        return "heavy"
    return face.kind if face.weight <= 500 else None


def draw_styles(rng: numpy.random.Generator, n: int) -> tuple[Mask, Labels]:
    """Draw three random small letters side by side in a face of the style."""
    small = LETTERS.lower()
    faces = faces_with(all_faces(), small)
    groups = [[face for face in faces if style_of(face) == style] for style in STYLES]

    def one(label: int) -> Mask:
        face = groups[label][int(rng.integers(len(groups[label])))]
        return glyph(face, "".join(small[int(index)] for index in rng.integers(0, 26, 3)), 44)

    return collect(rng, n, len(STYLES), one)


def outline_of(name: str, rng: numpy.random.Generator) -> Points:
    """Return the outline of a named shape in [-1, 1]², stretched a little at random."""
    turn = numpy.linspace(0, 2 * numpy.pi, 60, endpoint=False)
    sides = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6}
    points: Points
    if name in sides:
        points = regular(sides[name])
    elif name == "star":
        points = regular(5, float(rng.uniform(0.38, 0.55)))
    elif name == "cross":
        arm = float(rng.uniform(0.25, 0.4))
        points = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm), (arm, 1), (-arm, 1),
                  (-arm, arm), (-1, arm), (-1, -arm), (-arm, -arm)]  # fmt: skip
    elif name == "crescent":
        outer = numpy.linspace(0.6, 2 * numpy.pi - 0.6, 40)
        inner = outer[::-1]
        points = [(float(numpy.cos(a)), float(numpy.sin(a))) for a in outer]
        depth = float(rng.uniform(0.25, 0.6))
        points += [(float(depth + 0.72 * numpy.cos(a)), float(0.8 * numpy.sin(a))) for a in inner]
    elif name == "heart":
        points = [(float(numpy.sin(a) ** 3), float(-(13 * numpy.cos(a) - 5 * numpy.cos(2 * a) - 2 * numpy.cos(3 * a)
                   - numpy.cos(4 * a)) / 16)) for a in turn]  # fmt: skip
    elif name == "half disc":
        points = [(float(numpy.cos(a)), float(numpy.sin(a) - 0.5)) for a in numpy.linspace(0, numpy.pi, 40)]
    else:
        points = [(float(numpy.cos(a)), float(numpy.sin(a))) for a in turn]
    stretch = float(rng.uniform(0.8, 1.0))
    return [(x, y * stretch) for x, y in points]


def draw_shapes(rng: numpy.random.Generator, n: int) -> tuple[Mask, Labels]:
    """Draw ten plane figures, filled or as outlines."""

    def one(label: int) -> Mask:
        outline = 0.0 if rng.random() < 0.5 else float(rng.uniform(0.06, 0.16))
        return figure(outline_of(SHAPES[label], rng), outline)

    return collect(rng, n, len(SHAPES), one)


def draw_counts(rng: numpy.random.Generator, n: int) -> tuple[Mask, Labels]:
    """Draw one to eight dots or rings of about one size at random places."""

    def one(label: int) -> Mask:
        radius = float(rng.uniform(0.09, 0.13))
        centres = scattered(rng, label + 1, radius, 2.9)
        return discs(centres, [radius * float(rng.uniform(0.8, 1.1)) for _ in centres], bool(rng.random() < 0.3))

    return collect(rng, n, LARGEST_COUNT, one)


def handwritten() -> tuple[Mask, Labels]:
    """Return all 1 797 digits of scikit-learn as 8-bit images `[1797, 8, 8]` and their labels."""
    data = load_digits()
    return numpy.round(data.images * (255 / 16)).astype(numpy.uint8), data.target.astype(numpy.int64)


def enlarge(image: Mask) -> Mask:
    """Enlarge an 8 × 8 digit to a mask, bicubically."""
    large = Image.fromarray(image).resize((36, 36), Image.Resampling.BICUBIC)
    sheet = Image.new("L", (MASK, MASK))
    sheet.paste(large, ((MASK - 36) // 2, (MASK - 36) // 2))
    return numpy.asarray(sheet, dtype=numpy.uint8)

"""Masks: glyphs and figures drawn once, centred, as 8-bit images of MASK × MASK pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from assets.build.fonts import Face

MASK = 48
"""Side of a mask in pixels; a figure fills at most FILL of them, so a warp has room to turn it."""
FILL = 34

Mask = NDArray[numpy.uint8]
Points = Sequence[tuple[float, float]]


def fit(image: Image.Image, fill: int = FILL) -> Mask:
    """Crop a gray image to what is drawn, scale its longer side to `fill` and centre it; raises ValueError if empty."""
    box = image.getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) < 4:
        raise ValueError("nothing was drawn")
    image = image.crop(box)
    scale = fill / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BOX)
    sheet = Image.new("L", (MASK, MASK))
    sheet.paste(image, ((MASK - image.width) // 2, (MASK - image.height) // 2))
    return numpy.asarray(sheet, dtype=numpy.uint8)


def glyph(face: Face, text: str, fill: int = FILL) -> Mask:
    """Draw `text` in a face, scaled so that its longer side is `fill` pixels."""
    font = face.font(72)
    sheet = Image.new("L", (110 + 90 * len(text), 200))
    ImageDraw.Draw(sheet).text((40, 40), text, fill=255, font=font)
    return fit(sheet, fill)


def figure(points: Points, outline: float, size: int = 192) -> Mask:
    """Draw a closed polygon given in [-1, 1]², filled where `outline` is 0, else as a line of that width (0 to 1)."""
    sheet = Image.new("L", (size, size))
    draw = ImageDraw.Draw(sheet)
    half = size / 2
    pixels = [(half + x * half * 0.8, half + y * half * 0.8) for x, y in points]
    if outline == 0:
        draw.polygon(pixels, fill=255)
    else:
        draw.line([*pixels, pixels[0], pixels[1]], fill=255, width=max(2, round(outline * half)), joint="curve")
    return fit(sheet)


def discs(centres: Points, radii: Sequence[float], hollow: bool = False, size: int = 192) -> Mask:
    """Draw discs (or rings) at centres in [-1, 1]² with radii in the same unit, without cropping."""
    sheet = Image.new("L", (size, size))
    draw = ImageDraw.Draw(sheet)
    half = size / 2
    for (x, y), radius in zip(centres, radii, strict=True):
        px, py, r = half + x * half, half + y * half, radius * half
        box = (px - r, py - r, px + r, py + r)
        if hollow:
            draw.ellipse(box, outline=255, width=max(3, round(r * 0.45)))
        else:
            draw.ellipse(box, fill=255)
    return numpy.asarray(sheet.resize((MASK, MASK), Image.Resampling.BOX), dtype=numpy.uint8)


def regular(sides: int, inner: float = 1.0) -> list[tuple[float, float]]:
    """Return a regular polygon, or a star where `inner` < 1 is the radius of its inner corners."""
    count = sides if inner == 1.0 else 2 * sides
    radius = [1.0 if index % 2 == 0 else inner for index in range(count)]
    turn = [2 * math.pi * index / count - math.pi / 2 for index in range(count)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radius, turn, strict=True)]


def blob(rng: numpy.random.Generator, waves: int = 5) -> list[tuple[float, float]]:
    """Return a random smooth closed curve: a circle whose radius is a short Fourier series."""
    angle = numpy.linspace(0, 2 * math.pi, 90, endpoint=False)
    radius = numpy.ones_like(angle)
    for wave in range(1, waves + 1):
        radius += rng.normal(0, 0.45 / wave**0.5) * 0.6 * numpy.cos(wave * angle + rng.uniform(0, 2 * math.pi))
    radius = numpy.clip(radius, 0.15, None) / radius.max()
    return [(float(r * math.cos(a)), float(r * math.sin(a))) for r, a in zip(radius, angle, strict=True)]


def scattered(rng: numpy.random.Generator, count: int, radius: float, gap: float = 2.3) -> list[tuple[float, float]]:
    """Return `count` random centres in a square of half side 0.66, at least `gap` × `radius` apart."""
    room = 0.66
    while True:
        centres: list[tuple[float, float]] = []
        for _ in range(200):
            x, y = rng.uniform(-room + radius, room - radius, 2)
            if all(math.hypot(x - a, y - b) > gap * radius for a, b in centres):
                centres.append((float(x), float(y)))
            if len(centres) == count:
                return centres

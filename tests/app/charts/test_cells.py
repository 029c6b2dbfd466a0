"""Letters in the cells of a matrix stand out: at least 4.5 to 1, as WCAG asks of small letters at level AA."""

from __future__ import annotations

import pytest

from app.charts import confusion, cosines
from app.charts.drawing.colours import rgba, scale_colour
from tests.app.charts.test_charts import PALETTE, dressed
from tests.app.charts.test_looking_charts import look_numbers

SHARES = [step / 100 for step in range(101)]


def luminance(colour: tuple[float, ...]) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def least(figure: dict[str, object], theme: str) -> float:
    """The least contrast of any letters with their cell."""
    heat, *letters = dressed(figure, PALETTE[theme])["data"]
    low, high = heat["zmin"], heat["zmax"]
    found = []
    for trace in letters:
        ink = rgba(trace["textfont"]["color"])
        for x, y in zip(trace["x"], trace["y"], strict=True):
            share = (heat["z"][y][x] - low) / (high - low)
            found.append(contrast(ink, scale_colour(heat["colorscale"], share)))
    assert len(found) >= 10
    return min(found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_counts_are_readable_on_every_shade_of_the_confusion(theme: str) -> None:
    for first in range(0, 101, 10):
        numbers = look_numbers(11)
        row = [SHARES[min(100, first + step)] for step in range(11)]
        numbers["confusion"] |= {"counts": [[1] * 11] * 11, "shares": [row] * 11}
        assert least(confusion.figure_of(numbers), theme) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_cosines_are_readable_on_every_shade(theme: str) -> None:
    experts = [{"title": str(i), "colour": i} for i in range(101)]
    row = [sign * share for share in SHARES for sign in (1, -1)][:101]
    more = [sign * share for share in SHARES[::-1] for sign in (1, -1)][:101]
    numbers = {"experts": experts, "cosines": [row, more, *[[0.0] * 101] * 99]}
    assert least(cosines.figure_of(numbers), theme) >= 4.5

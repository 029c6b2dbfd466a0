"""Sprite sheets: a split of a task as one 8-bit grayscale PNG, tiles row-major, 32 a row."""

from __future__ import annotations

from pathlib import Path

import numpy
from numpy.typing import NDArray
from PIL import Image

TILES_A_ROW = 32

Images = NDArray[numpy.uint8]


def write_sheet(path: Path, images: Images) -> None:
    """Write images `[n, s, s]`; the last row is padded with black tiles."""
    n, side = images.shape[:2]
    rows = -(-n // TILES_A_ROW)
    padded = numpy.zeros((rows * TILES_A_ROW, side, side), numpy.uint8)
    padded[:n] = images
    sheet = padded.reshape(rows, TILES_A_ROW, side, side).transpose(0, 2, 1, 3)
    Image.fromarray(sheet.reshape(rows * side, TILES_A_ROW * side)).save(path, optimize=True)


def read_sheet(path: Path, n: int, side: int) -> Images:
    """Read the first `n` tiles of a sheet as `[n, side, side]`."""
    with Image.open(path) as sheet:
        values = numpy.asarray(sheet.convert("L"), dtype=numpy.uint8)
    rows = values.shape[0] // side
    tiles = values.reshape(rows, side, TILES_A_ROW, side).transpose(0, 2, 1, 3)
    return tiles.reshape(rows * TILES_A_ROW, side, side)[:n]

"""Validation pictures for the page: one small file a request, never an address outside this page."""

from __future__ import annotations

import base64
import io
from typing import Any

import torch
from PIL import Image

__all__ = ["photo", "sprite"]

_LARGEST = 64
"""Pixels of a picture's side on the page."""


def sprite(images: torch.Tensor) -> dict[str, Any]:
    """Return pictures side by side: `{side, count, source}`, the source a PNG as a data address, empty for none.

    `images`: uint8 `[n, channels, side, side]`, of one channel or three; large ones are made smaller.

    >>> sprite(torch.zeros(3, 1, 2, 2, dtype=torch.uint8))["source"][:22]
    'data:image/png;base64,'
    """
    count, side = len(images), int(images.shape[-1])
    if count == 0:
        return {"side": side, "count": 0, "source": ""}
    row = images.permute(2, 0, 3, 1).reshape(side, count * side, -1)
    picture = Image.fromarray(row[..., 0].numpy() if row.shape[2] == 1 else row.contiguous().numpy())
    if side > _LARGEST:
        side = _LARGEST
        picture = picture.resize((count * side, side), Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return {"side": side, "count": count, "source": _address(file, "png")}


def photo(image: torch.Tensor) -> str:
    """Return one picture of three colours, uint8 `[3, side, side]`, as a JPEG in a data address.

    >>> photo(torch.zeros(3, 2, 2, dtype=torch.uint8))[:23]
    'data:image/jpeg;base64,'
    """
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(file, "JPEG", quality=90, subsampling=0)
    return _address(file, "jpeg")


def _address(file: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"

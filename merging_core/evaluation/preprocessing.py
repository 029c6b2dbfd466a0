"""From a picture of any size to what a model reads: `preprocessor_config.json` through an allowlist.

The result is 8-bit, `[channels, side, side]`; rescaling and normalisation are left to the task, so that the pictures of
a split are kept as one small tensor. Pixel for pixel it is what the image processors of transformers compute with PIL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageOps

from merging_core.checkpoints.config import read_json_object
from merging_core.errors import CheckpointError, EvaluationError, Problem, closest
from merging_core.evaluation.config_reader import ConfigReader, is_number, is_whole

__all__ = ["MAX_PICTURE_BYTES", "MAX_PICTURE_PIXELS", "Preprocessing", "decoded", "preprocessing", "read_preprocessing"]

MAX_PICTURE_BYTES = 1 << 25
"""Largest file of one picture that is read (32 MiB)."""
MAX_PICTURE_PIXELS = 1 << 26
"""Most pixels of one picture that is decoded (8192 × 8192)."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_REFUSED = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning)
_LARGEST_SIDE = 1_024
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class _Defaults:
    """What an image processor of transformers assumes for keys that its file leaves out."""

    size: dict[str, int]
    crop: int | None
    resample: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    square: bool
    """Whether a size that is one number means both edges, not the shorter."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes 8-bit input, and how that becomes numbers: (value · rescale − mean) / std per channel.

    `edge`: the shorter edge after resizing, or `exact`: (height, width) after it, or neither; `crop`: the side that is
    cut out of the middle (a smaller picture is set on black); `resample`: a filter of PIL.
    """

    edge: int | None
    exact: tuple[int, int] | None
    resample: int
    crop: int | None
    rescale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def side(self) -> int:
        """Height and width of the result."""
        return self.crop or (self.exact or (0, 0))[0]

    def pixels(self, picture: Image.Image) -> NDArray[numpy.uint8]:
        """Return a picture as uint8 `[3, side, side]`.

        Raises EvaluationError where a picture is so narrow that resized it would be too large to hold.
        """
        colours = _in_colour(picture)
        size = self._resized(colours.height, colours.width)
        if size[0] * size[1] > MAX_PICTURE_PIXELS:
            must = f"a resized picture has at most {MAX_PICTURE_PIXELS:,} pixels"
            raise EvaluationError(Problem(must, f"{size[1]} × {size[0]}", "picture"))
        if size != (colours.height, colours.width) or self.edge is not None or self.exact is not None:
            colours = colours.resize((size[1], size[0]), resample=Image.Resampling(self.resample))
        values = numpy.asarray(colours, dtype=numpy.uint8)
        cut = values if self.crop is None else _cropped(values, self.crop)
        if cut.shape[:2] != (self.side, self.side):
            must = f"pictures that are neither resized nor cropped are {self.side} × {self.side}"
            raise EvaluationError(Problem(must, f"{cut.shape[1]} × {cut.shape[0]}", "picture"))
        return numpy.ascontiguousarray(cut.transpose(2, 0, 1))

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.exact is not None:
            return self.exact
        if self.edge is None:
            return height, width
        if width <= height:
            return int(self.edge * height / width), self.edge
        return self.edge, int(self.edge * width / height)


def preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """Return what a `preprocessor_config.json` describes.

    Known processors: CLIP, ViT, DeiT, SigLIP and BiT, under the names of today (`CLIPImageProcessor`) and of before
    (`CLIPFeatureExtractor`, `…Fast`); what their file leaves out has the defaults of transformers. Other keys have no
    effect. Raises EvaluationError with every key that is out of range, and where the result would not be a square.

    Source: `image_processing_pil_*.py` and `image_transforms.py` of transformers.

    >>> preprocessing({"image_processor_type": "ViTImageProcessor", "size": 32}).side
    32
    """
    read = ConfigReader(config, "preprocessor_config.json")
    known = _processors()
    kind = config.get("image_processor_type", config.get("feature_extractor_type"))
    family = kind if isinstance(kind, str) else ""
    for ending in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        family = family.removesuffix(ending)
    if family not in known:
        names = [f"{name}ImageProcessor" for name in known]
        problem = Problem("the image processor is one that is known", repr(kind)[:60],
                          "preprocessor_config.json: image_processor_type", closest(str(kind), names))  # fmt: skip
        raise EvaluationError(problem)
    default = known[family]
    edge, exact = None, None
    if read.switch("do_resize", True):
        edge, exact = _size(read, default)
    crop = _crop(read, default) if read.switch("do_center_crop", default.crop is not None) else None
    rescale = read.number("rescale_factor", 1 / 255, 1e-6, 1.0) if read.switch("do_rescale", True) else 1.0
    resample = read.whole("resample", default.resample, 0, 5)
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if read.switch("do_normalize", True):
        mean, std = _triple(read, "image_mean", default.mean, -10.0), _triple(read, "image_std", default.std, 1e-6)
    if not read.problems and crop is None and (exact is None or exact[0] != exact[1]):
        got = "a shorter edge and no crop" if exact is None else f"{exact[1]} × {exact[0]}"
        read.refuse("size", "the result is a square", got)
    read.done()
    return Preprocessing(edge, exact, resample, crop, rescale, mean, std)


def read_preprocessing(folder: Path) -> Preprocessing:
    """Return the preprocessing that a checkpoint's folder describes.

    In `preprocessor_config.json`, or under `image_processor` in the `processor_config.json` of newer checkpoints.
    Raises EvaluationError where there is neither, and as `preprocessing` does.
    """
    try:
        if (folder / "preprocessor_config.json").exists() or not (folder / "processor_config.json").exists():
            return preprocessing(read_json_object(folder / "preprocessor_config.json", root=folder))
        found = read_json_object(folder / "processor_config.json", root=folder).get("image_processor")
    except CheckpointError as error:
        raise EvaluationError(*error.problems) from None
    if not isinstance(found, Mapping):
        must = "image_processor is an object"
        raise EvaluationError(Problem(must, repr(found)[:60], "processor_config.json: image_processor"))
    return preprocessing(found)


def decoded(data: bytes, where: str = "picture") -> Image.Image:
    """Return a picture out of its file's bytes, upright as its EXIF orientation says.

    Raises EvaluationError for a file that is too large, of a format that is not PNG, JPEG, WebP, BMP, GIF, TIFF or PPM,
    that has too many pixels (found before they are decoded), or that is damaged.
    """
    if len(data) > MAX_PICTURE_BYTES:
        raise EvaluationError(Problem(f"a picture has at most {MAX_PICTURE_BYTES:,} bytes", f"{len(data):,}", where))
    try:
        picture = Image.open(BytesIO(data), formats=_FORMATS)
        if picture.width * picture.height <= MAX_PICTURE_PIXELS:
            picture.load()
            return ImageOps.exif_transpose(picture)
    except _REFUSED as error:
        must = f"a picture is a whole file of {', '.join(_FORMATS)}"
        raise EvaluationError(Problem(must, type(error).__name__, where)) from None
    got = f"{picture.width} × {picture.height}"
    raise EvaluationError(Problem(f"a picture has at most {MAX_PICTURE_PIXELS:,} pixels", got, where))


def _processors() -> dict[str, _Defaults]:
    bicubic, bilinear = int(Image.Resampling.BICUBIC), int(Image.Resampling.BILINEAR)
    edge, both = {"shortest_edge": 224}, {"height": 224, "width": 224}
    return {
        "CLIP": _Defaults(edge, 224, bicubic, _CLIP_MEAN, _CLIP_STD, square=False),
        "ViT": _Defaults(both, None, bilinear, _HALF, _HALF, square=True),
        "DeiT": _Defaults({"height": 256, "width": 256}, 224, bicubic, _HALF, _HALF, square=True),
        "Siglip": _Defaults(both, None, bicubic, _HALF, _HALF, square=False),
        "Bit": _Defaults(edge, 224, bicubic, _CLIP_MEAN, _CLIP_STD, square=False),
    }


def _in_colour(picture: Image.Image) -> Image.Image:
    """Return red, green and blue; what is transparent is seen over white."""
    if "A" in picture.getbands() or picture.info.get("transparency") is not None:
        over = picture.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, over).convert("RGB")
    return picture.convert("RGB")


def _cropped(values: NDArray[numpy.uint8], side: int) -> NDArray[numpy.uint8]:
    """Cut `[side, side, 3]` out of the middle of `[height, width, 3]`, on black where there is less."""
    spans = []
    for length in values.shape[:2]:
        whole = max(side, length)
        before = ceil((whole - length) / 2)
        start = (length - side) // 2 + (before if length < side else 0)
        spans.append((whole, before, start))
    (tall, top, first), (wide, left, across) = spans
    held = numpy.zeros((tall, wide, values.shape[2]), numpy.uint8)
    held[top : top + values.shape[0], left : left + values.shape[1]] = values
    return held[first : first + side, across : across + side]


def _size(read: ConfigReader, default: _Defaults) -> tuple[int | None, tuple[int, int] | None]:
    given_size = read.config.get("size")
    value: Any = default.size if given_size is None else given_size
    if is_whole(value, 1, _LARGEST_SIDE):
        return (None, (value, value)) if default.square else (value, None)
    if isinstance(value, Mapping):
        given = {key: number for key, number in value.items() if number is not None}
        if given.keys() == {"shortest_edge"} and is_whole(given["shortest_edge"], 1, _LARGEST_SIDE):
            return given["shortest_edge"], None
        if given.keys() == {"height", "width"} and all(is_whole(one, 1, _LARGEST_SIDE) for one in given.values()):
            return None, (given["height"], given["width"])
    must = f"size is shortest_edge, or height and width, from 1 to {_LARGEST_SIDE}"
    read.refuse("size", must, repr(value)[:60])
    return None, None


def _crop(read: ConfigReader, default: _Defaults) -> int | None:
    given = read.config.get("crop_size")
    value: Any = (default.crop or 224) if given is None else given
    if isinstance(value, Mapping) and value.get("height") == value.get("width"):
        value = value.get("height")
    if not is_whole(value, 1, _LARGEST_SIDE):
        read.refuse("crop_size", f"crop_size is one side, from 1 to {_LARGEST_SIDE}", repr(value)[:60])
        return None
    return int(value)


def _triple(read: ConfigReader, key: str, default: tuple[float, ...], low: float) -> tuple[float, float, float]:
    value = read.config.get(key)
    value = default if value is None else value
    if isinstance(value, list | tuple) and len(value) == 3 and all(is_number(one, low, 10.0) for one in value):
        return float(value[0]), float(value[1]), float(value[2])
    read.refuse(key, f"{key} is three numbers from {low:g} to 10", repr(value)[:60])
    return 0.0, 0.0, 0.0

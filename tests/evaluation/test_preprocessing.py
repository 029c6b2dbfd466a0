"""Preprocessing is what transformers' own image processors compute, and refuses what it would not."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from merging_core.errors import EvaluationError
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.preprocessing import MAX_PICTURE_BYTES, decoded, preprocessing
from merging_core.evaluation.tasks import Task

SIZES = ((40, 25), (25, 40), (33, 33), (9, 70), (16, 16))


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    random = numpy.random.default_rng(width * 1000 + height)
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = random.integers(0, 256, (height, width, bands), dtype=numpy.uint8)
    return Image.fromarray(values[:, :, 0] if bands == 1 else values, mode=None)


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    file = BytesIO()
    image.save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("CLIP", {"size": {"shortest_edge": 20}, "crop_size": {"height": 16, "width": 16}}),
        ("CLIP", {"size": 20, "crop_size": 30}),
        ("CLIP", {"size": {"shortest_edge": 17}, "crop_size": 16, "resample": 2, "do_normalize": False}),
        ("CLIP", {}),
        ("ViT", {"size": 18}),
        ("ViT", {"size": {"height": 21, "width": 21}, "rescale_factor": 0.01, "image_mean": [0.1, 0.2, 0.3]}),
        ("DeiT", {"size": {"height": 24, "width": 20}, "crop_size": {"height": 15, "width": 15}}),
        ("Siglip", {"size": {"height": 16, "width": 16}, "do_rescale": False, "image_std": [2.0, 3.0, 4.0]}),
        ("Bit", {"size": {"shortest_edge": 19}, "crop_size": {"height": 16, "width": 16}}),
    ],
)
def test_pictures_become_what_transformers_makes_of_them(kind: str, values: dict[str, Any], tmp_path: Path) -> None:
    import transformers

    theirs = getattr(transformers, f"{kind}ImageProcessorPil")(**values)
    theirs.save_pretrained(tmp_path)
    ours = preprocessing(json.loads((tmp_path / "preprocessor_config.json").read_text()))
    assert ours == preprocessing({"feature_extractor_type": f"{kind}FeatureExtractor", **values})
    head = OwnHead()
    task = Task("t", "", "", ("a", "b"), ours.side, 3, ours.mean, ours.std, head, {}, "", "", rescale=ours.rescale)
    for width, height in SIZES:
        image = picture(width, height)
        expected = torch.from_numpy(theirs(image)["pixel_values"][0])
        found = task.pixels(torch.from_numpy(ours.pixels(image))[None])[0]
        torch.testing.assert_close(found, expected.float(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "RGB"])
def test_gray_and_transparent_pictures_are_coloured_as_transformers_does(mode: str) -> None:
    from transformers import CLIPImageProcessorPil

    image, values = picture(30, 20, mode), {"size": {"shortest_edge": 16}, "crop_size": 16, "do_normalize": False}
    expected = CLIPImageProcessorPil(**values, do_rescale=False)(image)["pixel_values"][0]
    ours = preprocessing({"image_processor_type": "CLIPImageProcessorFast", **values})
    assert numpy.array_equal(ours.pixels(image), expected)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"image_processor_type": "zebra"}, "known are: CLIPImageProcessor"),
        ({"image_processor_type": "ViTImageProcesor"}, "did you mean “ViTImageProcessor”?"),
        ({"image_processor_type": None}, "the image processor is one that is known"),
        ({"size": {"shortest_edge": 10**9}}, "size is shortest_edge, or height and width, from 1 to 1024"),
        ({"size": {"longest_edge": 3}}, "size is shortest_edge"),
        ({"crop_size": {"height": 3, "width": 4}}, "crop_size is one side"),
        ({"resample": 9}, "resample is from 0 to 5, but 9 came"),
        ({"image_std": [0.0, 1.0, 1.0]}, "image_std is three numbers from 1e-06 to 10"),
        ({"image_mean": "0.5"}, "image_mean is three numbers"),
        ({"rescale_factor": float("nan")}, "rescale_factor is from 1e-06 to 1"),
        ({"do_center_crop": False}, "the result is a square, but a shorter edge and no crop came"),
    ],
)
def test_a_file_out_of_range_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        preprocessing({"image_processor_type": "CLIPImageProcessor", **changes})
    assert sentence in str(caught.value)


def test_what_a_stranger_adds_has_no_effect() -> None:
    plain = {"image_processor_type": "CLIPImageProcessor"}
    assert preprocessing({**plain, "auto_map": {"AutoImageProcessor": "evil.P"}, "patch_size": "x"}) == preprocessing(
        plain
    )


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "TIFF"])
def test_a_picture_is_read_in_several_formats(form: str) -> None:
    image = picture(7, 5)
    lossless = form != "WEBP"
    found = decoded(encoded(image, form))
    assert found.size == (7, 5)
    assert not lossless or numpy.array_equal(numpy.asarray(found), numpy.asarray(image))


def test_a_picture_that_was_taken_sideways_is_turned_upright() -> None:
    image, exif = picture(7, 5), Image.Exif()
    exif[0x0112] = 6
    file = BytesIO()
    image.save(file, "PNG", exif=exif)
    assert decoded(file.getvalue()).size == (5, 7)


@pytest.mark.parametrize("data", [b"", b"not a picture", encoded(picture(30, 30))[:200], b"GIF89a", b"%PDF-1.4"])
def test_what_is_no_picture_is_refused_by_its_place(data: bytes) -> None:
    with pytest.raises(EvaluationError, match="row 3: a picture is a whole file of PNG, JPEG"):
        decoded(data, "row 3")


def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_decoded() -> None:
    bomb = encoded(Image.new("1", (9_000, 9_000)))
    with pytest.raises(EvaluationError, match=r"at most 67,108,864 pixels, but 9000 × 9000 came"):
        decoded(bomb)
    with pytest.raises(EvaluationError, match="a picture is a whole file|at most"):
        decoded(encoded(Image.new("1", (15_000, 15_000))))
    with pytest.raises(EvaluationError, match="at most 33,554,432 bytes"):
        decoded(bytes(MAX_PICTURE_BYTES + 1))


def test_a_narrow_strip_is_not_blown_up() -> None:
    ours = preprocessing({"image_processor_type": "CLIPImageProcessor", "size": 1024, "crop_size": 224})
    with pytest.raises(EvaluationError, match="a resized picture has at most"):
        ours.pixels(Image.new("RGB", (70_000, 1)))

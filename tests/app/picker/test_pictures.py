"""What a method does to a sample: shares worked by hand, and the zoo's own numbers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from app.charts import method_picture
from app.charts.pictures import render
from app.families import Family
from app.picker.pictures import DOTS, MethodPictures, numbers_of
from app.picker.words import sentences, words_of
from app.settings import Settings
from app.state import StudioState, choose_method, default_state
from app.studio.bench import ZooBench
from merging_core.engines.samples import Looked
from merging_core.methods.registry import methods


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooBench]:
    folder = str(tmp_path_factory.mktemp("data"))
    yield ZooBench(Settings.from_env({"BASIN_DATA": folder, "BASIN_DEVICE": "cpu"}))


@pytest.fixture(scope="module")
def pictures(bench: ZooBench) -> MethodPictures:
    return MethodPictures(bench.models())


def tiny(bench: ZooBench, name: str) -> tuple[StudioState, Family]:
    family = next(one for one in bench.families if one.name == "tiny")
    return choose_method(default_state(family), name, bench.families), family


GOLDEN = Looked(
    parts=torch.tensor([[1.0, 3.0, -2.0, 1.0, 0.0], [1.0, -1.0, 1.0, -1.0, 0.0]]),
    merged=torch.tensor([2.0, 3.0, 1.0, 0.0, 0.0]),
    survive=0.5,
)


def test_shares_are_those_worked_by_hand() -> None:
    found = numbers_of(GOLDEN)
    assert (found["n"], found["kept"], found["dropped"], found["disputed"]) == (5, 0.6, 0.2, 0.6)
    thirds = [found[name] for name in ("stronger", "zeroed", "weaker")]
    assert thirds == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert found["dots"]["agreement"] == ["agree", "most", "split", "split", "agree"]
    assert found["dots"]["mean"] == [1.0, 1.0, -0.5, 0.0, 0.0]
    assert found["slope"] == pytest.approx((2.0 + 3.0 - 0.5) / (1.0 + 1.0 + 0.25))


def test_the_sentences_say_the_shares() -> None:
    found = {**numbers_of(GOLDEN), "base": True, "experts": ["A", "B"]}
    kept, dropped, disputed = sentences(found)
    assert (kept["text"], dropped["text"], disputed["text"]) == ("60 %", "20 %", "60 %")
    assert kept["sentence"] == "are changed by the merge. Each expert's mask keeps 50 % of its own."
    assert "33 % go with the side that pulls harder, 33 % become zero and 33 % go against it" in disputed["sentence"]
    assert [row["name"] for row in sentences({**found, "experts": ["A"]})] == ["kept", "dropped"]


@pytest.mark.parametrize("info", [one for one in methods() if not one.measures], ids=lambda info: info.name)
def test_every_method_has_a_picture_of_the_visitors_own_numbers(
    info: object, bench: ZooBench, pictures: MethodPictures
) -> None:
    name = getattr(info, "name", "")
    state, family = tiny(bench, name)
    numbers = pictures.look(state, family)
    assert 0.0 < numbers["kept"] <= 1.0
    assert len(numbers["dots"]["mean"]) == len(numbers["dots"]["merged"]) >= DOTS
    assert (numbers["spectrum"] is not None) == (getattr(info, "group", "") == "subspace")
    figure = method_picture.figure_of(numbers)
    assert {trace["name"] for trace in figure["data"]} >= {"plain mean", "dropped", "all agree"}
    assert words_of(numbers).startswith(("8\u202f192 of", "20\u202f736 of"))


def test_averages_lie_on_the_line_and_sums_keep_all(bench: ZooBench, pictures: MethodPictures) -> None:
    linear, summed = (pictures.look(*tiny(bench, name)) for name in ("linear", "task_arithmetic"))
    assert linear["slope"] == pytest.approx(1.0, abs=1e-3)
    assert summed["slope"] == pytest.approx(6.0, abs=1e-3)
    assert linear["kept"] == pytest.approx(1.0, abs=1e-3)


def test_ties_follows_the_stronger_side_or_drops(bench: ZooBench, pictures: MethodPictures) -> None:
    found = pictures.look(*tiny(bench, "ties"))
    assert 0.2 < found["dropped"] < 0.9
    assert found["stronger"] + found["zeroed"] > 0.8
    assert found["survive"] == pytest.approx(0.1, abs=0.02)


def test_iso_c_makes_the_spectrum_flatter_than_the_sums(bench: ZooBench, pictures: MethodPictures) -> None:
    spectrum = pictures.look(*tiny(bench, "iso_c"))["spectrum"]
    merged, total = spectrum["merged"], spectrum["sum"]
    assert merged[0] == pytest.approx(merged[-1], rel=1e-2)
    assert total[0] > 5 * total[-1]


def test_a_second_look_is_remembered_and_another_setting_is_another_look(
    bench: ZooBench, pictures: MethodPictures
) -> None:
    state, family = tiny(bench, "ties")
    first = pictures.look(state, family)
    assert pictures.look(state, family)["dots"] is first["dots"]
    other = choose_method(state, "della", bench.families)
    assert pictures.look(other, family)["method"] == "della"


@pytest.mark.parametrize(("name", "theme"), [("ties", "light"), ("tsv_m", "dark")])
def test_the_picture_is_drawn_on_the_server_too(
    name: str, theme: str, bench: ZooBench, pictures: MethodPictures
) -> None:
    figure = method_picture.figure_of(pictures.look(*tiny(bench, name)))
    assert render(figure, form="svg", theme=theme, title="What the method does").startswith(b"<svg")


def test_the_leaves_are_named_in_order_and_their_blocks_counted(bench: ZooBench, pictures: MethodPictures) -> None:
    found = pictures.leaves(tiny(bench, "ties")[0])
    assert found["blocks"] == 6
    assert len(found["names"]) == 103
    assert sum("self_attn" in name for name in found["names"]) == 6 * 8

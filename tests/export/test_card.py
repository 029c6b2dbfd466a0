"""The card: names from outside are inert in it, licences are those of the parts, the fence holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from merging_core.cards.licences import common_licence, licence_of, with_licence
from merging_core.cards.markdown import code_block, inert
from merging_core.checkpoints import Catalog, open_checkpoint, parse_ref
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import make_plan
from merging_core.export import Results, TaskData, TaskResult, model_card
from merging_core.export.model_index import model_index
from merging_core.recipes import parse_recipe

HOSTILE = "<img src=x onerror=alert(1)>|`[x](javascript:alert(1))` ## ![b](http://x.test)"


def checkpoint(folder: Path, card: str | None = None, config: dict[str, object] | None = None) -> str:
    folder.mkdir()
    save_file({"layers.0.w": torch.ones(3)}, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf-8")
    return f"file:{folder}"


def card_of(refs: list[str], results: tuple[Results, ...] = ()) -> str:
    given_recipe = {"version": 1, "models": [{"ref": ref} for ref in refs], "method": {"name": "linear"}}
    return model_card(make_plan(parse_recipe(given_recipe), Catalog(load_zoo(), allow_files=True)), results)


def outside_blocks(card: str) -> str:
    """The card without its front matter and code blocks, where nothing is markup."""
    text = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    return re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)


def test_a_hostile_name_is_text_and_nothing_else(tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "∕")
    row = TaskResult(HOSTILE + "\n# heading", 0.5, (0.4, 0.6), 10)
    card = card_of([checkpoint(tmp_path / name), checkpoint(tmp_path / "b")], (Results("test", (row,), row),))
    prose = outside_blocks(card)
    assert "<img" not in prose and "\n# heading" not in prose
    assert not re.search(r"(?<!\\)\[x(?<!\\)\]", prose) and "](http" not in prose.replace("\\]\\(", "")
    table = [line for line in prose.splitlines() if line.startswith("| model")]
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in table] == [6, 6]
    assert str(tmp_path) not in prose


def test_a_hostile_filter_is_text_and_nothing_else(tmp_path: Path) -> None:
    models = [
        {"ref": checkpoint(tmp_path / "a"), "weight": [{"filter": "[x](http://x.test)|<img>\n# h", "value": 0.5}]},
        {"ref": checkpoint(tmp_path / "b")},
    ]
    given_recipe = {"version": 1, "models": models, "method": {"name": "linear"}}
    prose = outside_blocks(model_card(make_plan(parse_recipe(given_recipe), Catalog(load_zoo(), allow_files=True))))
    assert "<img" not in prose and "\n# h" not in prose and "](" not in prose.replace("\\]\\(", "")
    table = [line for line in prose.splitlines() if line.startswith("| model")]
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in table] == [6, 6, 6][: len(table)]


def test_two_parts_of_one_name_keep_a_licence_each(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    refs = [
        checkpoint(tmp_path / "one" / "expert", "---\nlicense: mit\n---\n"),
        checkpoint(tmp_path / "two" / "expert", "---\nlicense: cc-by-nc-4.0\n---\n"),
    ]
    card = card_of(refs)
    assert "\nlicense: other\n" in card
    assert [line.split(" | ")[3] for line in card.splitlines() if line.startswith("| model")] == ["mit", "cc-by-nc-4.0"]


def test_a_name_cannot_end_the_front_matter(tmp_path: Path) -> None:
    card = card_of([checkpoint(tmp_path / "--- x: y"), checkpoint(tmp_path / "a: [b")])
    front = yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.DOTALL).group(1))  # type: ignore[union-attr]
    assert set(front) == {"library_name", "tags"}
    assert card.count("\n---\n") == 1


@pytest.mark.parametrize("architecture", ["os; import evil", "a" * 200, "", 7, "Model\nimport os", ["x"]])
def test_a_hostile_architecture_is_not_code_in_the_card(architecture: object, tmp_path: Path) -> None:
    ref = checkpoint(tmp_path / "a", config={"architectures": [architecture], "model_type": "vit"})
    card = card_of([ref])
    assert "from_pretrained" not in card and "load_file" in card


@given(st.text(max_size=60))
def test_inert_text_holds_no_unescaped_markup_and_one_line(text: str) -> None:
    made = inert(text)
    assert not re.search(r"[<>]|(?<!\\)[`*_\[\]|#!~]", made.replace("\\\\", ""))
    assert len(made.splitlines()) <= 1


def test_inert_text_is_short() -> None:
    assert len(inert("a" * 5000)) == 200


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    assert code_block("a\n````\nb").startswith("`````\n")


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n# x", "mit"),
        ("---\r\nlicense: apache-2.0\r\n---\r\n", "apache-2.0"),
        ("# no front matter", None),
        ("---\nlicense: !!python/object/apply:os.system [ls]\n---\n", None),
        ("---\nlicense: '<b>|x'\n---\n", None),
        ("---\nlicense: [mit]\n---\n", None),
        ("---\n- mit\n---\n", None),
        ("---\nlicense: mit\n---\n" + "x" * 300_000, None),
        (None, None),
    ],
)
def test_a_licence_is_read_from_a_sound_card_only(card: str | None, licence: str | None, tmp_path: Path) -> None:
    ref = checkpoint(tmp_path / "a", card)
    assert licence_of(open_checkpoint(tmp_path / "a", parse_ref(ref))) == licence


def test_a_card_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    ref = checkpoint(tmp_path / "a")
    (tmp_path / "secret").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "a" / "README.md").symlink_to(tmp_path / "secret")
    assert licence_of(open_checkpoint(tmp_path / "a", parse_ref(ref))) is None


def test_an_unknown_licence_makes_the_whole_unknown() -> None:
    assert common_licence(["mit", None]) is None


def test_results_say_what_they_are() -> None:
    row = TaskResult("Digits", 0.8125, (0.7, 0.9), 400, expert=0.9)
    found = Results("test", (row,), row, 0.9, (0.8, 1.0), transductive=True, partial=True, note="Third score.")
    card = card_of(["zoo:basins/left", "zoo:basins/right"], (found,))
    assert "## Results on the test split" in card
    assert "| Digits | 81.3 | 70.0 – 90.0 | 400 | 90.0 |" in card
    assert "Normalised (merged ÷ expert): 0.900 (0.800 – 1.000)." in card
    assert "**Transductive:**" in card and "**Partial:**" in card and "Third score." in card


FOOD = TaskData("image-classification", "ada/food", "small", "0" * 40)


def test_the_hub_reads_every_result_of_the_card(tmp_path: Path) -> None:
    rows = (
        TaskResult("Food", 0.81254, (0.7, 0.9), 400, data=FOOD),
        TaskResult("Digits", 0.5, (0.4, 0.6), 90, data=TaskData("image-classification", "tiny-digits")),
        TaskResult("Unknown", 0.1, (0.0, 0.2), 9),
    )
    average = TaskResult("average", 0.6, (0.5, 0.7), 490)
    results = (
        Results("validation", rows, average, partial=True),
        Results("test", rows[:1], average, transductive=True),
    )
    card = card_of(["zoo:basins/left", "zoo:basins/right"], results)
    for text in (card, with_licence(card, "mit")):
        (tmp_path / "README.md").write_text(text, encoding="utf-8")
        read = ModelCard.load(tmp_path / "README.md").data
        assert [
            (one.dataset_type, one.dataset_name, one.dataset_split, one.metric_value) for one in read.eval_results
        ] == [
            ("ada/food", "Food", "validation", 0.8125),
            ("tiny-digits", "Digits", "validation", 0.5),
            ("ada/food", "Food", "test", 0.8125),
        ]
        first, second, third = read.eval_results
        assert (first.task_type, first.metric_type) == ("image-classification", "accuracy")
        assert (first.dataset_config, first.dataset_revision, second.dataset_config) == ("small", "0" * 40, None)
        assert first.metric_name == "accuracy on Food (400 examples, 95 % interval 70.0 – 90.0 %), partial"
        assert third.metric_name.endswith("), transductive")
        assert read.model_name == "Weighted average of 2 models" and f"# {read.model_name}\n" in text
        again = yaml.safe_load(read.to_yaml())
        assert again["model-index"] == yaml.safe_load(text.split("---\n")[1])["model-index"]


def test_without_data_there_is_nothing_for_the_hub_to_read() -> None:
    row = TaskResult("Digits", 0.5, (0.4, 0.6), 9)
    assert "model-index" not in card_of(["zoo:basins/left", "zoo:basins/right"], (Results("test", (row,), row),))


@given(st.text(max_size=60))
def test_a_name_stays_words_in_the_front_matter(name: str) -> None:
    for hostile in (name, f"{HOSTILE}{name}", f"---\n{name}: !!python/object"):
        row = TaskResult(hostile, 0.5, (0.4, 0.6), 10, data=TaskData("image-classification", hostile, hostile))
        (index,) = model_index(hostile, (Results(hostile, (row,), row),))
        front = yaml.safe_dump({"model-index": [index]}, sort_keys=False, allow_unicode=True, width=120)
        assert not re.search(r"[<>`*\[\]|#!~\\&]|://|^---|www\.", front)
        data = ModelCard(f"---\n{front}---\n# x").data
        assert data.to_dict()["model-index"] == [index] and len(data.eval_results) == 1

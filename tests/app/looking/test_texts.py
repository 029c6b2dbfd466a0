"""A pasted text: the loss of every model in use is what transformers computes on the same windows."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from app.families import Family
from app.live import Scheduler
from app.looking.service import Looking
from app.looking.texts import LONGEST_TEXT
from app.own_family import family_named, own_name
from app.settings import Settings
from app.state import StudioState, default_state
from app.studio.bench import ZooBench
from merging_core.evaluation.tokenizing import read_tokenizer
from merging_core.recipes.changes import with_lambda
from tests.evaluation.models import WORDS, made, saved, write_tokenizer

TEXT = " ".join(WORDS[4 + (index * index + index // 3) % 12] for index in range(90))
LONGEST = 32


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A language model and two experts; the tokenizer lies beside the base."""
    root = tmp_path / "models"
    config = transformers.GPT2Config(vocab_size=len(WORDS), n_embd=12, n_layer=2, n_head=3, n_positions=LONGEST)
    for seed, name in enumerate(("start", "first", "second")):
        saved(made(transformers.GPT2LMHeadModel, config, seed), root / name)
    write_tokenizer(root / "start", around=False, start=True)
    return root


@pytest.fixture
def bench(folders: Path) -> ZooBench:
    return ZooBench(Settings.from_env({"BASIN_DEVICE": "cpu", "BASIN_MODELS": str(folders)}, make_folder=False))


@pytest.fixture
def looking(bench: ZooBench) -> Iterator[Looking]:
    scheduler = Scheduler()
    yield Looking(bench.models(), bench.families, scheduler)
    scheduler.close()


def texts(bench: ZooBench, base: str | None = "local:start") -> tuple[Family, StudioState]:
    family = family_named(bench.families, own_name(base, [("local:first", None), ("local:second", None)], []))
    return family, default_state(family)


def ask(looking: Looking, state: StudioState, text: object = None, seq: int = 1) -> dict[str, Any]:
    message = {"seq": seq, "page": "p", "state": state.as_json(), **({} if text is None else {"text": text})}
    found: dict[str, Any] = asyncio.run(looking.functions()["text_loss"]("ann", message))
    return found


def sentences(answer: dict[str, Any]) -> str:
    assert answer["ok"] is False
    return " ".join(problem["sentence"] for problem in answer["problems"])


def loss_by_transformers(model: Any, ids: list[int], window: int, stride: int) -> float:
    nats, scored = [], 1
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        labels = [ids[place] if place >= scored else -100 for place in range(begin, end)]
        with torch.inference_mode():
            loss = model(input_ids=torch.tensor([ids[begin:end]]), labels=torch.tensor([labels])).loss
        nats.append(float(loss) * (end - scored))
        scored = end
        if end == len(ids):
            break
    return sum(nats) / (len(ids) - 1)


def test_merge_base_and_experts_have_the_loss_that_transformers_computes(
    looking: Looking, bench: ZooBench, folders: Path
) -> None:
    _, state = texts(bench)
    answer = ask(looking, state, TEXT)
    assert answer["ok"] and answer["seq"] == 1, answer
    numbers = answer["numbers"]
    assert numbers["n"] == 90
    assert [row["kind"] for row in numbers["models"]] == ["merge", "base", "expert", "expert"]
    assert [row["title"] for row in numbers["models"]] == ["merge", "base", "first", "second"]
    assert [row["colour"] for row in numbers["models"]] == [None, None, 0, 1]
    ids = read_tokenizer(folders / "start").ids([TEXT])[0]
    model = transformers.GPT2LMHeadModel.from_pretrained(folders / "start").eval()
    merged = bench.models().engine.merge(state.recipe).weights
    model.load_state_dict(dict(merged), strict=False)
    expected = [loss_by_transformers(model, ids, LONGEST, LONGEST // 2)]
    for name in ("start", "first", "second"):
        one = transformers.GPT2LMHeadModel.from_pretrained(folders / name).eval()
        expected.append(loss_by_transformers(one, ids, LONGEST, LONGEST // 2))
    assert len({round(loss, 3) for loss in expected}) == 4
    assert [row["loss"] for row in numbers["models"]] == pytest.approx(expected, rel=1e-4)
    for row in numbers["models"]:
        low, high = row["loss_interval"]
        assert low < row["loss"] < high
        assert row["perplexity"] == pytest.approx(float(torch.tensor(row["loss"], dtype=torch.float64).exp()))
        assert row["perplexity_interval"][0] < row["perplexity"] < row["perplexity_interval"][1]


def test_the_answer_says_that_it_is_one_text_and_how_it_was_read(looking: Looking, bench: ZooBench) -> None:
    _, state = texts(bench)
    words = ask(looking, state, TEXT)["numbers"]["words"]
    assert "one text, no split" in words.lower()
    assert f"windows of {LONGEST}" in words and "first" not in words
    cut = ask(looking, state, "a " * (LONGEST_TEXT // 2), seq=2)["numbers"]
    assert cut["n"] == LONGEST_TEXT // 2 and "first" not in cut["words"]
    dots = ask(looking, state, "a." * (LONGEST_TEXT // 2), seq=3)["numbers"]
    assert "the first 4,096 of 8,001" in dots["words"] and dots["n"] == 4_095


def test_what_a_model_said_of_a_text_is_kept_until_the_model_changes(
    looking: Looking, bench: ZooBench, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, state = texts(bench)
    evaluator, asked = bench.models().evaluator, []
    scores = evaluator.scores
    monkeypatch.setattr(evaluator, "scores", lambda *given: asked.append(given) or scores(*given))
    first = ask(looking, state, TEXT)["numbers"]["models"]
    assert len(asked) == 4
    moved = replace(state, recipe=with_lambda(state.recipe, 0.7))
    second = ask(looking, moved, TEXT, seq=2)["numbers"]["models"]
    assert len(asked) == 5
    assert second[0]["loss"] != first[0]["loss"] and second[1:] == first[1:]
    shutil.copy(folders / "second" / "model.safetensors", folders / "first" / "model.safetensors")
    third = ask(looking, state, TEXT, seq=3)["numbers"]["models"]
    assert third[2]["loss"] == third[3]["loss"] == first[3]["loss"]


def test_another_tokenizer_in_the_folder_is_seen(looking: Looking, bench: ZooBench, folders: Path) -> None:
    _, state = texts(bench)
    assert ask(looking, state, TEXT)["numbers"]["n"] == 90
    write_tokenizer(folders / "start", around=True)
    assert ask(looking, state, TEXT, seq=2)["numbers"]["n"] == 91


def test_the_tokenizer_may_lie_beside_an_expert(looking: Looking, bench: ZooBench, folders: Path) -> None:
    shutil.move(folders / "start" / "tokenizer.json", folders / "second" / "tokenizer.json")
    for place, base in enumerate(("local:start", None)):
        _, state = texts(bench, base)
        assert ask(looking, state, seq=2 * place + 1)["numbers"] == {"reads": True, "sentence": None}
        kinds = [row["kind"] for row in ask(looking, state, TEXT, seq=2 * place + 2)["numbers"]["models"]]
        assert kinds == ["merge", *(["base"] if base else []), "expert", "expert"]


def test_language_models_without_a_tokenizer_say_so_in_one_sentence(
    looking: Looking, bench: ZooBench, folders: Path
) -> None:
    (folders / "start" / "tokenizer.json").unlink()
    _, state = texts(bench)
    about = ask(looking, state)["numbers"]
    assert about["reads"] is True and "no tokenizer.json came" in about["sentence"]
    said = sentences(ask(looking, state, TEXT, seq=2))
    assert said == about["sentence"] and str(folders) not in said


def test_models_of_pictures_read_no_text(looking: Looking, bench: ZooBench) -> None:
    state = default_state(bench.families[0])
    assert ask(looking, state)["numbers"] == {"reads": False, "sentence": None}
    assert "predicts text" in sentences(ask(looking, state, TEXT, seq=2))


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "at least two tokens"), (7, "text has at most"), ("a" * (LONGEST_TEXT + 1), "at most 8,000 characters")],
)
def test_a_text_that_is_none_is_refused(looking: Looking, bench: ZooBench, text: object, said: str) -> None:
    _, state = texts(bench)
    assert said in sentences(ask(looking, state, text))


def test_models_without_a_task_show_what_the_merge_does_to_each_layer(bench: ZooBench) -> None:
    family, state = texts(bench)
    bench.check(family)
    layers = bench.layers(state)
    assert layers["depths"] == ["before", "0", "1", "after"]
    assert [expert["title"] for expert in layers["experts"]] == ["first", "second"]
    assert all(norm > 0 for expert in layers["experts"] for norm in expert["norms"])
    assert layers["cosines"][0][0] == pytest.approx(1.0)
    assert len(layers["conflict"]) == 4 and len(layers["merged_norms"]) == 4

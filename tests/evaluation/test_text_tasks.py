"""Texts are classified as transformers classifies them, with the merged model's head or each expert's own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import ViTConfig, ViTForImageClassification

from merging_core.errors import EvaluationError
from merging_core.evaluation.architectures import architecture, fitting
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.tasks import SPLITS, Split, Task
from merging_core.evaluation.text_tasks import Text, TextClassification, own_head, text_classification
from merging_core.evaluation.token_rows import packed
from merging_core.evaluation.tokenizing import TextTokenizer, read_tokenizer
from tests.evaluation.models import WORDS, config_of, made, saved, write_tokenizer

CLASSES = ("calm", "glad", "sad")
TEXTS = (
    "a cat sees the dog", "the big red owl runs", "owl", "the dog of the cat runs . a dog sees", "a photo of a photo",
    "red red red", "the cat", "a dog runs . the owl sees a dog . the photo of the owl runs", "big", "sees the cat .",
)  # fmt: skip
BERT: dict[str, Any] = {
    "vocab_size": len(WORDS), "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2,
    "num_attention_heads": 3, "max_position_embeddings": 40, "pad_token_id": 0,
}  # fmt: skip
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "Bert": ("BertConfig", BERT | {"type_vocab_size": 2}),
    "Roberta": ("RobertaConfig", BERT | {"type_vocab_size": 1, "pad_token_id": 0}),
    "XLMRoberta": ("XLMRobertaConfig", BERT | {"type_vocab_size": 1, "pad_token_id": 0}),
    "DistilBert": (
        "DistilBertConfig",
        {"vocab_size": len(WORDS), "dim": 12, "hidden_dim": 20, "n_layers": 2, "n_heads": 3,
         "max_position_embeddings": 40, "pad_token_id": 0, "activation": "relu"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    where = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(where)
    return read_tokenizer(where)


def rows(n: int = 24, classes: int = 3, pairs: bool = False) -> list[tuple[Text, int]]:
    texts = [TEXTS[index % len(TEXTS)] for index in range(n)]
    return [((text, TEXTS[-1 - i % 3]) if pairs else text, i % classes) for i, text in enumerate(texts)]


def task_of(tokenizer: TextTokenizer, classes: tuple[str, ...] = CLASSES, **changes: Any) -> TextClassification:
    pairs = changes.pop("pairs", False)
    texts = {split: rows(24, len(classes), pairs) for split in SPLITS}
    return text_classification(changes.pop("name", "mood"), classes, texts, tokenizer, **changes)


def model_of(kind: str, folder: Path, classes: int = 3, seed: int = 0) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    config_class, values = KINDS[kind]
    config = getattr(transformers, config_class)(**values, num_labels=classes)
    model = made(getattr(transformers, f"{kind}ForSequenceClassification"), config, seed)
    saved(model, folder)
    return model, config_of(folder), load_file(folder / "model.safetensors")


def logits_one_by_one(model: Any, tokenizer: TextTokenizer, texts: list[tuple[Text, int]]) -> torch.Tensor:
    """Ask transformers about each text alone, so that nothing is padded."""
    found = []
    with torch.inference_mode():
        for text, _ in texts:
            ids, kinds = tokenizer.pairs([(text, None) if isinstance(text, str) else text])[0]
            more = {"token_type_ids": torch.tensor([kinds])} if model.config.model_type == "bert" else {}
            found.append(model(input_ids=torch.tensor([ids]), **more).logits[0].double())
    return torch.stack(found)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("kind", list(KINDS))
def test_texts_are_classified_as_transformers_does(
    kind: str, pairs: bool, tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    model, config, leaves = model_of(kind, tmp_path)
    task = task_of(tokenizer, pairs=pairs)
    score = Evaluator(workers=1, batch=5).evaluate(config, leaves, [task]).tasks[0]
    texts, order = rows(24, 3, pairs), torch.tensor(task.splits["validation"].order)
    logits, labels = logits_one_by_one(model, tokenizer, texts), torch.tensor([label for _, label in texts])
    nats = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(torch.tensor(score.losses).double(), nats[order], rtol=1e-4, atol=1e-5)
    assert score.correct.tolist() == (logits.argmax(1) == labels)[order].tolist()
    assert (score.n, score.of) == (24, 24)


def test_padding_changes_nothing(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    _, config, leaves = model_of("Roberta", tmp_path)
    found = architecture(config, "text classes", 3)
    bound = fitting(found, leaves, torch.device("cpu"))
    ids = tokenizer.ids(list(TEXTS))
    together = found.forward(bound, packed(ids, [[0] * len(row) for row in ids]))
    alone = torch.cat([found.forward(bound, packed([row], [[0] * len(row)])) for row in ids])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_weights_are_bound_without_copying_and_the_skeleton_takes_no_memory(tmp_path: Path) -> None:
    _, config, leaves = model_of("Bert", tmp_path)
    found = architecture(config, "text classes", 3)
    bound = fitting(found, leaves, torch.device("cpu"))
    assert {name: leaf.data_ptr() for name, leaf in bound.items()} == {
        name: leaf.data_ptr() for name, leaf in leaves.items()
    }
    found.forward(bound, packed([[1, 8, 2]], [[0, 0, 0]]))
    model = found.forward.__self__  # type: ignore[attr-defined]
    assert all(leaf.untyped_storage().nbytes() == 4 for one in model._idle for leaf in one.parameters())


def test_threads_ask_different_weights_of_one_evaluator(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    task, evaluator = task_of(tokenizer), Evaluator(workers=2, batch=4)
    models = [model_of("Bert", tmp_path / str(seed), seed=seed)[1:] for seed in range(4)]
    expected = [Evaluator(workers=1).evaluate(config, leaves, [task]).loss for config, leaves in models]
    found: dict[int, set[float]] = {}

    def ask(number: int) -> None:
        config, leaves = models[number]
        found[number] = {evaluator.evaluate(config, leaves, [task]).loss for _ in range(4)}

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, losses in found.items():
        assert all(loss == pytest.approx(expected[number], rel=1e-5) for loss in losses)


def test_names_of_older_files_are_mapped_by_transformers(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    _, config, leaves = model_of("Bert", tmp_path)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): leaf
        for name, leaf in leaves.items()
    }
    assert old.keys() != leaves.keys()
    task, evaluator = task_of(tokenizer), Evaluator(workers=1)
    assert evaluator.evaluate(config, old, [task]).loss == evaluator.evaluate(config, leaves, [task]).loss


def test_a_file_with_other_shapes_does_not_spoil_the_names_of_the_next(
    tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    _, config, leaves = model_of("Bert", tmp_path)
    bare = {name.removeprefix("bert."): leaf for name, leaf in leaves.items()}
    wrong = {**bare, "embeddings.word_embeddings.weight": torch.zeros(5, 12)}
    task, evaluator = task_of(tokenizer), Evaluator(workers=1)
    with pytest.raises(EvaluationError, match="bert.embeddings.word_embeddings.weight"):
        evaluator.evaluate(config, wrong, [task])
    assert evaluator.evaluate(config, bare, [task]).loss == evaluator.evaluate(config, leaves, [task]).loss


def test_another_model_s_leaves_are_refused_without_taking_memory(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    _, config, _ = model_of("Bert", tmp_path)
    vast = config | {"hidden_size": 12_000, "intermediate_size": 100_000, "num_hidden_layers": 200}
    with pytest.raises(EvaluationError, match="BertForSequenceClassification has this leaf, but no such leaf came"):
        Evaluator(workers=1).evaluate(vast, {"other": torch.zeros(3)}, [task_of(tokenizer)])


def test_each_task_has_its_expert_s_own_head_and_it_is_not_merged(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    """Two experts with different numbers of classes; the merge is of their bodies, whose base has no head at all."""
    first, config, one = model_of("DistilBert", tmp_path / "one", classes=3, seed=1)
    second, other_config, two = model_of("DistilBert", tmp_path / "two", classes=2, seed=2)
    merged = {name: (leaf + two[name]) / 2 for name, leaf in one.items() if name.startswith("distilbert.")}
    tasks = [
        task_of(tokenizer, head=own_head(config, one, "text classes", 3)),
        task_of(tokenizer, ("no", "yes"), name="yes", head=own_head(other_config, two, "text classes", 2)),
    ]
    assert set(tasks[0].head.leaves) == {
        "pre_classifier.weight",
        "pre_classifier.bias",
        "classifier.weight",
        "classifier.bias",
    }
    evaluator = Evaluator(workers=1)
    report = evaluator.evaluate({**config, "num_labels": 7}, merged, tasks)
    for model, score, task in zip((first, second), report.tasks, tasks, strict=True):
        model.load_state_dict(merged, strict=False)
        texts, order = rows(24, len(task.classes)), torch.tensor(task.splits["validation"].order)
        labels = torch.tensor([label for _, label in texts])
        nats = torch.nn.functional.cross_entropy(logits_one_by_one(model, tokenizer, texts), labels, reduction="none")
        torch.testing.assert_close(torch.tensor(score.losses).double(), nats[order], rtol=1e-4, atol=1e-5)
    bare = {name.removeprefix("distilbert."): leaf for name, leaf in merged.items()}
    again = evaluator.evaluate(config, bare, tasks)
    assert [score.loss for score in again.tasks] == [score.loss for score in report.tasks]


def test_a_picture_model_keeps_its_expert_s_own_classes(tmp_path: Path) -> None:
    sizes = {"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3}
    model = made(ViTForImageClassification, ViTConfig(**sizes, image_size=8, patch_size=4, num_labels=4))
    saved(model, tmp_path)
    config, leaves = config_of(tmp_path), load_file(tmp_path / "model.safetensors")
    head = own_head(config, leaves, "picture classes", 4)
    body = {name: leaf for name, leaf in leaves.items() if not name.startswith("classifier")}
    images = torch.randint(0, 256, (12, 3, 8, 8), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    split = Split(images, torch.arange(12) % 4, "own")
    task = Task("own", "Own", "", tuple("abcd"), 8, 3, 0.5, 0.5, head, {"validation": split}, "", "")
    score = Evaluator(workers=1).evaluate(config, body, [task]).tasks[0]
    with torch.inference_mode():
        logits = model(pixel_values=task.pixels(images)).logits
    nats = torch.nn.functional.cross_entropy(logits, torch.arange(12) % 4, reduction="none")
    torch.testing.assert_close(torch.tensor(score.losses), nats[torch.tensor(split.order)], rtol=1e-4, atol=1e-5)


def test_an_expert_without_a_head_is_told_so(tmp_path: Path) -> None:
    _, config, leaves = model_of("Bert", tmp_path)
    body = {name: leaf for name, leaf in leaves.items() if not name.startswith("classifier")}
    with pytest.raises(
        EvaluationError, match=r"classifier.weight: the expert's head has shape \[3, 12\], but no such leaf"
    ):
        own_head(config, body, "text classes", 3)
    with pytest.raises(EvaluationError, match=r"has shape \[5, 12\], but \[3, 12\] came"):
        own_head(config, leaves, "text classes", 5)


def test_texts_without_splits_are_divided_by_seed_and_it_is_said(tokenizer: TextTokenizer) -> None:
    task = text_classification("mood", CLASSES, {"all": rows(60)}, tokenizer, seed=4)
    assert sum(len(split) for split in task.splits.values()) == 60 and list(task.splits) == list(SPLITS)
    assert task.splits["calibration"].labels is None
    assert task.description == "Train, calibration, validation and test made from all by seed 4, class by class."


def test_a_long_text_keeps_its_beginning_and_its_end_and_it_is_said(tokenizer: TextTokenizer) -> None:
    texts = {split: rows() for split in SPLITS}
    task = text_classification("mood", CLASSES, texts, tokenizer, longest=5)
    ids = tokenizer.ids([TEXTS[0]])[0]
    assert task.splits["test"].tokens[0, 0].tolist() == [*ids[:4], ids[-1]]
    assert task.description.endswith("texts were cut to 5 tokens.")


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (
            {"train": [], "test": [("owl", 0)]},
            "a split has 1 to 100,000 texts, but 0 came; an accuracy over no example",
        ),
        ({"train": [("owl", 9)], "test": [("owl", 0)]}, "labels are from 0 to 2, but 9 came"),
        ({"training": [("owl", 0)], "test": [("owl", 0)]}, "a split is one of train, calibration, validation, test"),
    ],
)
def test_texts_that_cannot_be_a_task_are_refused(texts: Any, sentence: str, tokenizer: TextTokenizer) -> None:
    with pytest.raises(EvaluationError) as caught:
        text_classification("mood", CLASSES, texts, tokenizer)
    assert sentence in str(caught.value)


def test_a_model_that_cannot_read_the_texts_says_why(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    _, config, leaves = model_of("Bert", tmp_path)
    task, evaluator = task_of(tokenizer), Evaluator(workers=1)
    with pytest.raises(EvaluationError) as caught:
        evaluator.evaluate(config | {"vocab_size": 4, "max_position_embeddings": 3}, leaves, [task])
    assert "knows 4 tokens" in str(caught.value) and "reads at most 3 tokens" in str(caught.value)
    with pytest.raises(EvaluationError, match="the architecture classifies text, but 'clip' came; known are: bert"):
        evaluator.evaluate({"model_type": "clip"}, leaves, [task])
    with pytest.raises(EvaluationError, match="gives logits, but|no such leaf"):
        evaluator.evaluate(config, {}, [task])


def test_a_head_without_leaves_is_the_evaluated_model_s(tokenizer: TextTokenizer) -> None:
    assert task_of(tokenizer).head == OwnHead()

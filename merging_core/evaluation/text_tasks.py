"""Text classification: texts, or pairs of texts, with labels, cut into tokens once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Architecture, Asked, Shapes, Weights, architecture
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.splitting import SHARES, divided
from merging_core.evaluation.tasks import SPLITS, Metric, Stratified, head_misfits, known_split
from merging_core.evaluation.token_rows import packed
from merging_core.evaluation.tokenizing import TextTokenizer

__all__ = ["MAX_TOKENS", "Text", "TextClassification", "TextSplit", "own_head", "text_classification"]

MAX_TOKENS = 512
"""Most tokens of one text; BERT and its kin read no more."""
_MOST = 100_000
_LISTED = 8

Text = str | tuple[str, str]
"""One text, or a pair that is judged together."""


@dataclass(frozen=True, eq=False)
class TextSplit(Stratified):
    """Texts of one split as rows of tokens (`token_rows`). `labels`: int64 `[n]`, or None for calibration."""

    tokens: torch.Tensor
    labels: torch.Tensor | None
    seed: str

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class TextClassification:
    """Everything needed to score a text classifier on one task. Compared by identity.

    `head`: whose classifier is used; with an expert's own leaves it is never merged.
    """

    name: str
    title: str
    description: str
    classes: tuple[str, ...]
    head: OwnHead
    splits: Mapping[str, TextSplit]
    licence: str = "unknown"
    source: str = ""
    metric: Metric = "accuracy"

    @property
    def asks(self) -> Asked:
        """The model's own classes of texts."""
        return "text classes"

    def labels(self, split: str) -> torch.Tensor:
        """Return the labels of a split, or raise EvaluationError saying why there are none."""
        found = self.splits[known_split(self, split)]
        if found.labels is None:
            must, fix = "only a labelled split can be scored", "choose train, validation or test"
            raise EvaluationError(Problem(must, f"{split}, which holds inputs only,", self.name, fix))
        return found.labels

    def inputs(self, split: str) -> torch.Tensor:
        """Return the rows of a split in its order."""
        found = self.splits[split]
        return found.tokens[torch.tensor(found.order, dtype=torch.int64)]

    def prepared(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the rows as they are."""
        return rows

    def misfits(self, found: Architecture) -> list[Problem]:
        """Say why a model cannot be asked: it knows fewer tokens, reads shorter texts, or has no such classes."""
        rows = [split.tokens for split in self.splits.values()]
        largest, longest = max(int(one[:, 0].max()) for one in rows), max(one.shape[2] for one in rows)
        problems = []
        if found.reads != "tokens":
            return [Problem(f"{found.name} reads images", "a task of texts", self.name)]
        if largest >= found.vocabulary:
            must = f"{found.name} knows {found.vocabulary:,} tokens"
            problems.append(Problem(must, f"token {largest:,}", self.name, "use the model's own tokenizer"))
        if longest > found.longest:
            must = f"{found.name} reads at most {found.longest:,} tokens"
            problems.append(Problem(must, f"a text of {longest:,}", self.name, "cut the texts sooner"))
        return problems + head_misfits(self, found)


def text_classification(
    name: str,
    classes: Sequence[str],
    texts: Mapping[str, Sequence[tuple[Text, int]]],
    tokenizer: TextTokenizer,
    head: OwnHead | None = None,
    *,
    seed: int = 0,
    longest: int = MAX_TOKENS,
    title: str = "",
    licence: str = "unknown",
    source: str = "",
) -> TextClassification:
    """Return a task of labelled texts.

    `texts`: (text, label) by split. Where train alone is given, under whatever name, it is divided into all four splits
    by seed, class by class; otherwise calibration and validation, if absent, are made from train. A
    text with more than `longest` tokens loses its middle: the first `longest` − 1 tokens and the last (which closes a
    text) stay; the description says how many did.
    Raises EvaluationError with every problem found: an empty split, a label that is no class, a text without tokens.
    """
    problems: list[Problem] = []
    rows = dict(texts)
    words = ""
    if len(rows) == 1:
        ((only, pool),) = rows.items()
        parts = divided([label for _, label in pool], SHARES, f"{name} {seed}")
        rows = {split: [pool[index] for index in parts[split]] for split in SPLITS}
        words = f"Train, calibration, validation and test made from {only} by seed {seed}, class by class."
    elif "train" in rows and (made := [one for one in ("calibration", "validation") if one not in rows]):
        pool = rows["train"]
        share = {one: SHARES[one] for one in ("train", *made)}
        parts = divided([label for _, label in pool], share, f"{name} {seed}")
        rows |= {split: [pool[index] for index in parts[split]] for split in share}
        words = f"{' and '.join(made).capitalize()} made from train by seed {seed}, class by class."
    if len(classes) < 2 or len(set(classes)) < len(classes):
        problems.append(Problem("there are at least two classes, and their names differ", str(len(classes)), "classes"))
    for split, examples in rows.items():
        if split not in SPLITS:
            problems.append(Problem(f"a split is one of {', '.join(SPLITS)}", split[:60], "texts"))
        if not 1 <= len(examples) <= _MOST:
            fix = "an accuracy over no example is not a number" if not examples else ""
            problems.append(Problem(f"a split has 1 to {_MOST:,} texts", f"{len(examples):,}", split, fix))
        wrong = [label for _, label in examples if not 0 <= label < len(classes)]
        if wrong:
            problems.append(Problem(f"labels are from 0 to {len(classes) - 1}", str(wrong[0]), split))
    if problems:
        raise EvaluationError(*problems).located(name)
    splits: dict[str, TextSplit] = {}
    cut = 0
    for split in (one for one in SPLITS if one in rows):
        pairs = [(text, None) if isinstance(text, str) else text for text, _ in rows[split]]
        tokens = tokenizer.pairs(pairs)
        empty = [index for index, (ids, _) in enumerate(tokens) if not ids]
        problems += [Problem("a text has a token", "none", f"{split}: text {index}") for index in empty[:_LISTED]]
        cut += sum(len(ids) > longest for ids, _ in tokens)
        ids, marks = ([_shortened(part, longest) for part in side] for side in zip(*tokens, strict=True))
        labels = None if split == "calibration" else torch.tensor([label for _, label in rows[split]])
        splits[split] = TextSplit(packed(ids, marks), labels, f"{name} {split}")
    if problems:
        raise EvaluationError(*problems).located(name)
    said = f"{cut:,} texts were cut to {longest} tokens." if cut else ""
    description = " ".join(part for part in (words, said) if part)
    chosen = OwnHead() if head is None else head
    return TextClassification(name, title or name, description, tuple(classes), chosen, splits, licence, source)


def own_head(config: Mapping[str, object], weights: Weights, asked: Asked, classes: int) -> OwnHead:
    """Return an expert's own head: the leaves of its file that lie outside the model's body.

    `asked`: `text classes` or `picture classes`; `weights`: the expert's leaves by their names in its file. Which
    leaves are the body is what transformers calls the base model. Raises EvaluationError where the expert lacks a head
    for so many classes.
    """
    found = architecture(config, asked, classes)
    shapes: Shapes = {name: tuple(leaf.shape) for name, leaf in weights.items() if leaf.is_floating_point()}
    spelled = found.spelling(shapes) if found.spelling is not None else {}
    problems = []
    leaves = {}
    for name in found.head:
        leaf = weights.get(spelled.get(name, name))
        if leaf is None or tuple(leaf.shape) != found.leaves[name]:
            got = "no such leaf" if leaf is None else str(list(leaf.shape))
            problems.append(Problem(f"the expert's head has shape {list(found.leaves[name])}", got, name))
        else:
            leaves[spelled.get(name, name)] = leaf
    if problems or not leaves:
        fix = Problem("the model has a head of its own", found.name, "head")
        raise EvaluationError(*(problems or [fix]))
    return OwnHead(leaves)


def _shortened(row: Sequence[int], longest: int) -> list[int]:
    return list(row) if len(row) <= longest else [*row[: longest - 1], row[-1]]

"""Language modelling: how surprised a model is by each token of a text.

The loss is the mean of −log p(token | the tokens before it) in nats per token; perplexity is its exponential. A text
is read in windows of `window` tokens that begin every `stride` tokens; a token is scored in the first window that
holds it, so that (but for the first window) it is read after at least `window` − `stride` others.

Source: the guide “Perplexity of fixed-length models” of transformers (sliding windows). Deviation: the mean is over
tokens, not over windows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Architecture, Asked
from merging_core.evaluation.heads import Head, OwnHead
from merging_core.evaluation.tasks import Metric, known_split
from merging_core.evaluation.token_rows import packed
from merging_core.evaluation.tokenizing import TextTokenizer

__all__ = ["MAX_TOKENS", "TextTask", "Windows", "text_task"]

MAX_TOKENS = 4_096
"""Most tokens of a pasted text that are scored."""
WINDOW, STRIDE = 256, 128
_PREVIEW_WINDOWS = 2


@dataclass(frozen=True, eq=False)
class Windows:
    """A text as windows of tokens. Its examples are the scored tokens, in the order of the text.

    `tokens`: rows of `token_rows`; `following`: the scored tokens' ids `[n]`; `ends`: how many tokens are scored in all
    windows up to each.
    """

    tokens: torch.Tensor
    following: torch.Tensor
    ends: tuple[int, ...]

    def __len__(self) -> int:
        return self.ends[-1]

    @property
    def labels(self) -> torch.Tensor:
        """The tokens that are to be predicted."""
        return self.following

    @cached_property
    def order(self) -> range:
        """The order of the text."""
        return range(len(self))

    @property
    def preview(self) -> int:
        """The tokens that the first windows score."""
        return self.ends[min(_PREVIEW_WINDOWS, len(self.ends)) - 1]

    def rows(self, start: int, stop: int) -> slice:
        """Return the windows that score the tokens `start` to `stop`."""
        return slice(bisect_right(self.ends, start), bisect_right(self.ends, stop - 1) + 1)

    def first_of(self, start: int) -> int:
        """Return the first token that the window of token `start` scores."""
        window = bisect_right(self.ends, start)
        return self.ends[window - 1] if window else 0


@dataclass(frozen=True, eq=False)
class TextTask:
    """A text on which language models are scored. Compared by identity; it has no classes and no head."""

    name: str
    title: str
    description: str
    splits: Mapping[str, Windows]
    classes: tuple[str, ...] = ()
    head: Head = field(default_factory=OwnHead)
    licence: str = "unknown"
    source: str = "pasted"
    metric: Metric = "perplexity"

    @property
    def asks(self) -> Asked:
        """The next token."""
        return "next tokens"

    def labels(self, split: str) -> torch.Tensor:
        """Return the tokens to be predicted, or raise EvaluationError for a split that is not there."""
        return self.splits[known_split(self, split)].following

    def inputs(self, split: str) -> torch.Tensor:
        """Return the windows."""
        return self.splits[split].tokens

    def prepared(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the windows as they are."""
        return rows

    def misfits(self, found: Architecture) -> list[Problem]:
        """Say why a model cannot be asked: it does not predict text, knows fewer tokens, or reads shorter windows."""
        if found.gives != "tokens":
            return [Problem(f"{found.name} gives {found.gives}", "a task of language modelling", self.name)]
        problems = []
        tokens = [split.tokens for split in self.splits.values()]
        largest, longest = max(int(one[:, 0].max()) for one in tokens), max(one.shape[2] for one in tokens)
        if largest >= found.vocabulary:
            must = f"{found.name} knows {found.vocabulary:,} tokens"
            problems.append(Problem(must, f"token {largest:,}", self.name, "use the model's own tokenizer"))
        if longest > found.longest:
            must = f"{found.name} reads at most {found.longest:,} tokens"
            problems.append(Problem(must, f"windows of {longest:,}", self.name, "use shorter windows"))
        return problems


def text_task(
    text: str,
    tokenizer: TextTokenizer,
    *,
    name: str = "pasted text",
    title: str = "",
    split: str = "validation",
    most: int = MAX_TOKENS,
    window: int = WINDOW,
    stride: int = STRIDE,
) -> TextTask:
    """Return a task of one text, as it may be pasted by a visitor.

    With the special tokens that the tokenizer puts before a text; those that it puts after it are scored too. The first
    token has nothing before it and is not scored. Of a longer text the first `most` tokens are taken, and the
    description says so. Raises EvaluationError for fewer than two tokens (a loss over no token is not a number), a text
    with too many characters, or a `window` and `stride` that do not fit: 1 ≤ stride < window.
    """
    if not 1 <= stride < window:
        must = "a window is at least 2 tokens long, and the next begins 1 or more later, inside it"
        raise EvaluationError(Problem(must, f"window {window}, stride {stride}", name))
    ids = tokenizer.ids([text])[0]
    kept = ids[:most]
    if len(kept) < 2:
        must, fix = "a text has at least two tokens", "a loss over no token is not a number; paste more text"
        raise EvaluationError(Problem(must, str(len(kept)), name, fix))
    rows, marks, ends, scored = [], [], [], 1
    for begin in range(0, len(kept), stride):
        end = min(begin + window, len(kept))
        rows.append(kept[begin:end])
        marks.append([int(place >= scored) for place in range(begin, end)])
        scored = end
        ends.append(end - 1)
        if end == len(kept):
            break
    cut = f", the first {len(kept):,} of {len(ids):,}" if len(ids) > len(kept) else ""
    words = f"{len(kept) - 1:,} tokens scored{cut}, in windows of {window} that begin every {stride}."
    windows = Windows(packed(rows, marks), torch.tensor(kept[1:], dtype=torch.int64), tuple(ends))
    return TextTask(name, title or name, words, {split: windows})

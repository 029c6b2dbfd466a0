"""From text to token ids: `tokenizer.json` of a checkpoint's folder, read by the library `tokenizers`; no code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from merging_core.checkpoints.files import open_regular
from merging_core.errors import CheckpointError, EvaluationError, Problem

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["MAX_CHARACTERS", "TextTokenizer", "read_tokenizer"]

MAX_CHARACTERS = 1 << 20
"""Most characters of one text."""
_TOKENIZER_BYTES = 1 << 26
_SECONDS = 30.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """A tokenizer with the special tokens that its file puts around a text; it never cuts and never pads.

    `digest` is what tells it from another: the bytes of its file. `seconds`: how long one call may take; the
    patterns in such a file come from a stranger and can be made to take for ever.
    """

    inner: Tokenizer
    data: bytes
    seconds: float = _SECONDS

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, with its special tokens.

        Raises EvaluationError for a text with more than `MAX_CHARACTERS`, or when it takes too long.
        """
        return [ids for ids, _ in self.pairs([(text, None) for text in texts])]

    def pairs(self, texts: Sequence[tuple[str, str | None]]) -> list[tuple[list[int], list[int]]]:
        """Return token ids of each text or pair of texts, and to which of the two each token belongs (0 or 1)."""
        for first, second in texts:
            length = len(first) + len(second or "")
            if length > MAX_CHARACTERS:
                must = f"a text has at most {MAX_CHARACTERS:,} characters"
                raise EvaluationError(Problem(must, f"{length:,}", "text", "paste less"))
        rows = [first if second is None else (first, second) for first, second in texts]
        encoded = _within(self.seconds, lambda: self.inner.encode_batch(rows))
        return [(list(row.ids), list(row.type_ids)) for row in encoded]

    def words(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, without special tokens; raises EvaluationError when it takes too long."""
        return _within(self.seconds, lambda: str(self.inner.decode(list(ids), skip_special_tokens=True)))


def read_tokenizer(folder: Path, *, root: Path | None = None) -> TextTokenizer:
    """Read `tokenizer.json` of a checkpoint's folder; a link may lead to a file inside `root`, else inside the folder.

    Raises EvaluationError where there is none (older checkpoints keep their vocabulary in other files), or it cannot
    be read.
    """
    from tokenizers import Tokenizer

    fix = "save the checkpoint's tokenizer with transformers, which writes tokenizer.json"
    try:
        with open_regular(folder / "tokenizer.json", root=root or folder) as file:
            data = file.read(_TOKENIZER_BYTES + 1)
    except CheckpointError as error:
        raise EvaluationError(*(Problem(one.must, one.got, one.where, fix) for one in error.problems)) from None
    if len(data) > _TOKENIZER_BYTES:
        raise EvaluationError(
            Problem(f"tokenizer.json has at most {_TOKENIZER_BYTES:,} bytes", "more", "tokenizer.json")
        )
    try:
        inner = Tokenizer.from_buffer(data)
    except Exception as error:  # tokenizers raises plain exceptions for whatever is wrong with a file
        raise EvaluationError(Problem("the tokenizer can be read", str(error)[:100], "tokenizer.json", fix)) from None
    inner.no_truncation()
    inner.no_padding()
    return TextTokenizer(inner, data)


def _within(seconds: float, work: Callable[[], Answer]) -> Answer:
    """Return what `work` gives, or raise EvaluationError when it takes longer or fails; it cannot be stopped."""
    done: list[Answer] = []
    failed: list[str] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:  # tokenizers raises plain exceptions
            failed.append(str(error)[:100] or type(error).__name__)

    thread = threading.Thread(target=run, daemon=True, name="basin-tokenizer")
    thread.start()
    thread.join(seconds)
    if failed or not done:
        got = failed[0] if failed else f"more than {seconds:g} seconds"
        raise EvaluationError(Problem("the text can be cut into tokens", got, "tokenizer.json", "paste less text"))
    return done[0]

"""Which row belongs to which token, as the files of a tokenizer say it that lie beside the weights.

They are read as JSON or lines of text, and never by a tokenizer: nothing in them is carried out. A token whose row is
not certain, because it has several or shares one, has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from merging_core.checkpoints.companions import COMPANIONS
from merging_core.checkpoints.config import parse_json_object
from merging_core.checkpoints.reader import Checkpoint
from merging_core.errors import CheckpointError, Problem

__all__ = ["TOKEN_FILES", "tokens_of"]

_MOST = 1 << 22
"""Values that such a file may have; the largest of today have a third of it."""
_LAST_ROW = 1 << 31

Pairs = Iterator[tuple[int, str]]


def tokens_of(checkpoint: Checkpoint) -> dict[int, str] | None:
    """Return the token of each row that has one of its own; None where no file that is read here says it.

    `tokenizer.json` has the last word; without it `vocab.json` or `vocab.txt`, with the tokens that `added_tokens.json`
    and `tokenizer_config.json` add. Raises CheckpointError, naming the file, for one that says something else.
    """
    for name, read in TOKEN_FILES.items():
        data = checkpoint.beside(name, COMPANIONS[name])
        if data is None:
            continue
        pairs = list(read(data, name))
        for added, more in _ADDED.items() if name != _WHOLE else ():
            data = checkpoint.beside(added, COMPANIONS[added])
            pairs += more(data, added) if data is not None else []
        return _certain(pairs)
    return None


def _tokenizer(data: bytes, where: str) -> Pairs:
    """Read `tokenizer.json`, as the library tokenizers writes it.

    >>> list(_tokenizer(b'{"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 2, "content": "<s>"}]}', "t"))
    [(0, 'a'), (1, 'b'), (2, '<s>')]
    >>> list(_tokenizer(b'{"model": {"vocab": [["a", -1.5], ["b", -2]]}}', "t"))
    [(0, 'a'), (1, 'b')]
    """
    document = _object(data, where)
    model = document.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, list):
        for row, entry in enumerate(vocabulary):
            if not (isinstance(entry, list) and entry and isinstance(entry[0], str)):
                raise _strange("each entry of the vocabulary begins with its token", where)
            yield row, entry[0]
    elif isinstance(vocabulary, dict):
        yield from _table(vocabulary, where)
    else:
        raise _strange("the tokenizer has a vocabulary", where)
    added = document.get("added_tokens") or []
    if not isinstance(added, list):
        raise _strange("added tokens are a list", where)
    for entry in added:
        if not (isinstance(entry, dict) and isinstance(entry.get("content"), str)):
            raise _strange("an added token has its text", where)
        yield _row(entry.get("id"), where), entry["content"]


def _vocabulary(data: bytes, where: str) -> Pairs:
    """Read `vocab.json` or `added_tokens.json`: the row of each token."""
    yield from _table(_object(data, where), where)


def _lines(data: bytes, where: str) -> Pairs:
    """Read `vocab.txt`: a token on each line.

    >>> list(_lines("[PAD]\\r\\nλ\\n".encode(), "vocab.txt"))
    [(0, '[PAD]'), (1, 'λ')]
    """
    if data.count(b"\n") > _MOST:
        raise _strange(f"a vocabulary has at most {_MOST:,} lines", where)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise _strange("the text is UTF-8", where) from None
    yield from enumerate(line.removesuffix("\r") for line in text.removesuffix("\n").split("\n"))


def _settings(data: bytes, where: str) -> Pairs:
    """Read what `tokenizer_config.json` adds: the text of each row."""
    added = _object(data, where).get("added_tokens_decoder") or {}
    if not isinstance(added, dict):
        raise _strange("added tokens stand by their rows", where)
    for row, entry in added.items():
        if not (isinstance(entry, dict) and isinstance(entry.get("content"), str)):
            raise _strange("an added token has its text", where)
        whole = row.isascii() and row.isdigit() and len(row) < len(str(_LAST_ROW))
        yield _row(int(row) if whole else None, where), entry["content"]


_WHOLE = "tokenizer.json"
TOKEN_FILES: dict[str, Callable[[bytes, str], Pairs]] = {
    _WHOLE: _tokenizer,
    "vocab.json": _vocabulary,
    "vocab.txt": _lines,
}
"""How each file is read that says which row belongs to which token; the first that is there is taken."""
_ADDED: dict[str, Callable[[bytes, str], Pairs]] = {
    "added_tokens.json": _vocabulary,
    "tokenizer_config.json": _settings,
}


def _object(data: bytes, where: str) -> dict[str, Any]:
    if max(data.count(b","), data.count(b"[") + data.count(b"{")) > _MOST:
        raise _strange(f"a vocabulary has at most {_MOST:,} values", where)
    return parse_json_object(data, where)


def _table(rows: dict[str, Any], where: str) -> Pairs:
    return ((_row(row, where), token) for token, row in rows.items())


def _row(given: object, where: str) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < _LAST_ROW:
        return given
    raise _strange("each token has the number of its row", where)


def _certain(pairs: list[tuple[int, str]]) -> dict[int, str]:
    """Return the pairs whose row and token stand in no other.

    >>> _certain([(0, "a"), (1, "b"), (2, "b"), (3, "c"), (3, "d"), (0, "a")])
    {0: 'a'}
    """
    known = set(pairs)
    rows, tokens = Counter(row for row, _ in known), Counter(token for _, token in known)
    return {row: token for row, token in sorted(known) if rows[row] == tokens[token] == 1}


def _strange(must: str, where: str) -> CheckpointError:
    return CheckpointError(Problem(must, "something else", where, "save the tokenizer again with transformers"))

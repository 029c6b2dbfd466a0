"""The one place where errors become messages.

What a person can act on (`BasinError`) goes to the browser as its sentences. Anything else is our fault: it is logged
with a reference, secrets struck out, and the browser gets a plain sentence with that reference, never a traceback.
"""

from __future__ import annotations

import logging
import re
import secrets
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import wraps
from typing import Any, ParamSpec

from merging_core.errors import BasinError, CancelledError, Problem

__all__ = ["Answer", "answer_for", "answers", "answers_in_turn", "problems_answer", "redact", "superseded"]

Asked = ParamSpec("Asked")
Answer = dict[str, Any]
"""What a server function returns: plain JSON with `ok`."""

_SECRETS = re.compile(r"hf_[A-Za-z0-9]{8,}|(?i:authorization\s*[=:].*|(?:token|secret|password)\s*[=:]\s*\S+)")
_LOG = logging.getLogger("basin")


def problems_answer(problems: Iterable[Problem]) -> Answer:
    """Say what is wrong, one sentence each.

    >>> problems_answer([Problem("seq is a whole number", "'x'", "seq")])["problems"][0]["sentence"]
    "seq: seq is a whole number, but 'x' came."
    """
    return {"ok": False, "problems": [problem.as_json() for problem in problems]}


def superseded() -> Answer:
    """Say that a newer request took this one's place; the page drops it silently."""
    return {"ok": False, "superseded": True}


def answer_for(error: Exception) -> Answer:
    """Turn any error into an answer for the browser; what is not meant for people is logged instead."""
    if isinstance(error, CancelledError):
        return superseded()
    if isinstance(error, BasinError):
        return problems_answer(error.problems)
    reference = secrets.token_hex(4)
    text = "".join(traceback.format_exception(error))
    _LOG.error("unexpected error %s\n%s", reference, redact(text))
    sentence = f"Something went wrong inside Basin; nothing of yours is lost. The log has it under {reference}."
    problem = {"must": "", "got": "", "where": "", "fix": "", "sentence": sentence}
    return {"ok": False, "problems": [problem], "reference": reference}


def answers(method: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """Make a server function of a method that returns the fields of an answer: add `ok`, turn errors into answers.

    >>> answers(lambda: {"n": 1})()
    {'ok': True, 'n': 1}
    """

    @wraps(method)
    def answering(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        try:
            return {"ok": True, **method(*args, **kwargs)}
        except Exception as error:
            return answer_for(error)

    return answering


def answers_in_turn(method: Callable[Asked, Awaitable[Answer]]) -> Callable[Asked, Coroutine[Any, Any, Answer]]:
    """Do as `answers` for a method that waits for its turn."""

    @wraps(method)
    async def answering(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        try:
            return {"ok": True, **await method(*args, **kwargs)}
        except Exception as error:
            return answer_for(error)

    return answering


def redact(text: str) -> str:
    """Strike out what looks like a secret.

    >>> redact("HTTP 401 for hf_abcdefghijklmnop, token=xyz")
    'HTTP 401 for [redacted], [redacted]'
    """
    return _SECRETS.sub("[redacted]", text)

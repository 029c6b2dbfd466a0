"""Asking the Hub in somebody's name; what can keep an upload from being done is one sentence, without the token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from merging_core import __version__
from merging_core.errors import BasinError, HubError, Problem, legible

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["ANSWERED_HERE", "SILENCE", "TOKENS", "asking", "in_sentences"]

TOKENS = "huggingface.co/settings/tokens"
"""Where tokens are made."""
ANSWERED_HERE = frozenset(range(400, 500)) - {408, 429}
"""Statuses that have sentences of their own here."""
SILENCE = 120.0
"""Seconds without a byte after which the Hub is said not to answer; a whole upload takes as long as it takes."""
_UNREADABLE = (KeyError, TypeError, AttributeError, IndexError)
"""What the client raises where an answer is not of the form that it expects."""


@contextmanager
def asking(
    repo_id: str, token: str | None, endpoint: str | None, silence: float, *, whole: bool = False
) -> Iterator[HfApi]:
    """Give the client, within the rules for every request; what it raises is said in sentences.

    `whole`: everything that is asked takes at most `silence` seconds together.
    Raises HubError, also where there is no token.
    """
    from huggingface_hub import HfApi

    from merging_core.hub.session import Caller, rules

    if not token:
        fix = f"make one that may write at {TOKENS}, and put it into HF_TOKEN"
        raise HubError(Problem("a token of the Hub is given", "none", "token", fix))
    api = HfApi(endpoint=endpoint, token=token, library_name="basin", library_version=__version__)
    caller = Caller(api.endpoint, token, silence)
    caller = caller.starting() if whole else caller
    with rules(caller, repo_id, passed=ANSWERED_HERE), in_sentences(repo_id, token):
        yield api


@contextmanager
def in_sentences(repo_id: str, token: str) -> Iterator[None]:
    """Turn what the client raises into a sentence; none holds the token."""
    from huggingface_hub.errors import HfHubHTTPError

    # The bases of this class are the client's own, of whichever HTTP library it stands on, and OSError.
    bases: tuple[Any, ...] = HfHubHTTPError.__bases__
    expected: tuple[type[Exception], ...] = (*bases, ValueError, RuntimeError, *_UNREADABLE)
    try:
        yield
    except HubError as error:
        raise _here(error, repo_id) from None
    except BasinError:
        raise
    except expected as error:
        told = _cause(error)
        if isinstance(told, HubError):
            raise _here(told, repo_id) from None
        problem = _problem(error, repo_id)
        raise HubError(replace(problem, got=problem.got.replace(token, "[token]"), where=repo_id)) from None


def _here(error: HubError, repo_id: str) -> BasinError:
    """Return an error with the repository in every problem that names no place."""
    return type(error)(*(problem if problem.where else replace(problem, where=repo_id) for problem in error.problems))


def _cause(error: BaseException) -> BaseException:
    """Return what the client met with where it says only that something failed."""
    from huggingface_hub.errors import HfHubHTTPError

    while not isinstance(error, HfHubHTTPError | HubError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _problem(error: BaseException, repo_id: str) -> Problem:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    error = _cause(error)
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return _refused(error.response.status_code, str(error.server_message or ""))
    name = type(error).__name__
    if isinstance(error, HFValidationError):
        return Problem("a repository is named owner/name", repr(repo_id[:100]))
    if isinstance(error, OfflineModeIsEnabled):
        return Problem("the Hub may be asked", "offline mode", "", "unset HF_HUB_OFFLINE")
    if "Timeout" in name:
        return Problem("the Hub answers in time", "no answer", "", "try again")
    if isinstance(error, (json.JSONDecodeError, *_UNREADABLE)):
        fix = "check HF_ENDPOINT and the network"
        return Problem("the Hub answers in its own form", "something else", "", fix)
    if isinstance(error, ValueError):
        return Problem("the Hub accepts what is sent", f"“{_line(str(error))}”")
    return Problem("the Hub can be reached", f"no answer ({name})", "", "check the network and try again")


def _refused(status: int, said: str) -> Problem:
    """Say what the Hub means by a status."""
    if status == 401:
        return Problem("the token is one that the Hub knows", "another (401)", "", f"make a new one at {TOKENS}")
    if status == 403:
        fix = f"give it this right at {TOKENS}, or name a repository of yours"
        return Problem("the token may write there", "one that may not (403)", "", fix)
    if status == 404:
        return Problem("the repository exists and the token may see it", "none of this name (404)")
    if status == 409:
        return Problem("nothing else of this name is there", "something (409)", "", "name another")
    if status == 412:
        return Problem("nobody else changes the repository meanwhile", "another commit (412)", "", "publish again")
    reason = f", which says “{_line(said)}”" if said else ""
    return Problem("the Hub accepts what is sent", f"a refusal ({status}){reason}")


def _line(text: str) -> str:
    shown = legible(" ".join(text.split()))
    return shown if len(shown) <= 200 else shown[:200] + "…"

"""What the Hub can answer instead of what was asked for, as one sentence each.

Nothing that a server wrote stands in a sentence: only numbers and codes are read from its answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from merging_core.errors import HubAccessError, HubAwayError, HubError, Problem

__all__ = [
    "TOKENS",
    "away",
    "offline_mode",
    "of_status",
    "of_store",
    "too_late",
    "too_long",
    "wait_seconds",
    "without_meaning",
]

TOKENS = "https://huggingface.co/settings/tokens"
"""Where tokens are made."""
_LIMIT = re.compile(r"r\s*=\s*(\d{1,9})\s*;\s*t\s*=\s*(\d{1,9})")
_BAD_TOKEN = "Invalid credentials in Authorization header"
_AGAIN = "try again in a moment"
_LONGEST_WAIT = 9_999_999
_NOT_FOUND, _FORBIDDEN, _UNAUTHORISED, _TOO_MANY, _SERVER = 404, 403, 401, 429, 500


def of_status(status: int, headers: Mapping[str, str], *, repo: str, endpoint: str, signed_in: bool) -> HubError:
    """Return the error of an answer with a status of 400 or more.

    `repo` is `owner/name` (of a data set with `datasets/` before it), or empty where the request was not about one. The codes are those of the Hub's
    `X-Error-Code`; a missing and a private repository have the same one.

    >>> of_status(404, {"X-Error-Code": "RevisionNotFound"}, repo="a/b", endpoint="https://hf.co", signed_in=True)
    HubAccessError('the revision exists in the repository, but none of that name came; check the branch, tag or commit.')
    """  # noqa: E501
    given = {name.lower(): value for name, value in headers.items()}
    code = given.get("x-error-code", "")
    what = "data set" if repo.startswith("datasets/") else "model"
    if status == _TOO_MANY:
        return _limited(given)
    if status >= _SERVER or status == 408:
        wait = wait_seconds(given)
        again = _AGAIN if wait is None else f"try again in {wait} s"
        return HubAwayError(Problem("the Hub answers", f"an error of its own ({status})", "", again))
    if code == "GatedRepo":
        page = f"{endpoint}/{repo}" if repo else endpoint
        fix = f"ask for access at {page}" + ("" if signed_in else ", then sign in or give a token")
        return HubAccessError(Problem(f"your account has access to this gated {what}", "none", "", fix))
    if given.get("x-error-message", "") == _BAD_TOKEN:
        return _token_refused()
    if code == "RevisionNotFound":
        must, fix = "the revision exists in the repository", "check the branch, tag or commit"
        return HubAccessError(Problem(must, "none of that name", "", fix))
    if code == "EntryNotFound":
        must, fix = "the file is in the repository at this revision", "check the revision"
        return HubAccessError(Problem(must, "no such file", "", fix))
    if code == "RepoNotFound" or (status == _UNAUTHORISED and repo and not signed_in):
        return _missing(signed_in, what)
    if status == _UNAUTHORISED:
        return _token_refused()
    if status == _FORBIDDEN:
        must = "your token may read this" if signed_in else "everybody may read this"
        fix = f"allow it at {TOKENS}, or use another" if signed_in else "sign in or give a token"
        return HubAccessError(Problem(must, "a refusal (403)", "", fix))
    if status == _NOT_FOUND:
        return _missing(signed_in, what) if repo else without_meaning("status 404")
    return HubError(Problem("the Hub accepts the request", f"status {status}", "", "check the reference"))


def of_store(status: int) -> HubAwayError:
    """Return the error of a refusal by another host, to which the Hub sent us for a file: it says nothing of rights."""
    must, got = "the store to which the Hub leads gives the file", f"a refusal ({status})"
    return HubAwayError(Problem(must, got, "", _AGAIN))


def away(what: str) -> HubAwayError:
    """Return the error of a connection that could not be made or kept."""
    return HubAwayError(Problem("the Hub can be reached", what, "", "check the network, or try again later"))


def offline_mode() -> HubAwayError:
    """Return the error where this machine's settings forbid every request to the Hub."""
    fix = "unset HF_HUB_OFFLINE to allow requests"
    return HubAwayError(Problem("the Hub may be asked from this machine", "offline mode", "", fix))


def too_late(seconds: float) -> HubAwayError:
    """Return the error of an answer that did not come, or did not end, in time."""
    got = f"no whole answer in {seconds:.0f} s" if seconds >= 1 else "no whole answer in time"
    return HubAwayError(Problem("the Hub answers in time", got, "", _AGAIN))


def too_long(most: int) -> HubError:
    """Return the error of an answer that has more bytes than such an answer may have."""
    fix = "check that nothing between here and the Hub changes its answers"
    return HubError(Problem(f"the Hub's answer has at most {most:,} bytes", "a longer one", "", fix))


def without_meaning(what: str) -> HubError:
    """Return the error of an answer that is not the Hub's, as from a network that wants a sign-in first."""
    fix = "a network's sign-in page or a proxy may stand between: open a web page, then try again"
    return HubError(Problem("the answer comes from the Hub", what, "", fix))


def wait_seconds(headers: Mapping[str, str]) -> int | None:
    """Return how many seconds the Hub asks to wait, by `RateLimit` or `Retry-After`; None where it does not say.

    A date in `Retry-After` is taken by the answer's own `Date`.

    >>> wait_seconds({"RateLimit": '"api";r=0;t=55'}), wait_seconds({"Retry-After": "7"}), wait_seconds({})
    (55, 7, None)
    >>> day = "Wed, 25 Nov 2026 09:00:"
    >>> wait_seconds({"Retry-After": f"{day}30 GMT", "Date": f"{day}00 GMT"}), wait_seconds({"Retry-After": "soon"})
    (30, None)
    """
    given = {name.lower(): value for name, value in headers.items()}
    match = _LIMIT.search(given.get("ratelimit", ""))
    if match is not None and int(match.group(1)) == 0:
        return int(match.group(2))
    after = given.get("retry-after", "").strip()
    if after.isascii() and after.isdigit() and len(after) < 8:
        return int(after)
    try:
        span = parsedate_to_datetime(after) - parsedate_to_datetime(given.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0, min(_LONGEST_WAIT, int(span.total_seconds())))


def _limited(headers: Mapping[str, str]) -> HubAwayError:
    wait = wait_seconds(headers)
    fix = f"try again in {wait} s" if wait is not None else "try again in a few minutes"
    return HubAwayError(Problem("the Hub accepts another request now", "its limit of requests (429)", "", fix))


def _missing(signed_in: bool, what: str) -> HubAccessError:
    must = f"the {what} exists on the Hub and may be seen by you"
    fix = "check owner and name" + ("" if signed_in else "; if it is private, sign in or give a token")
    return HubAccessError(Problem(must, "nothing of that name", "", fix))


def _token_refused() -> HubAccessError:
    fix = f"sign in again, or make a token at {TOKENS}"
    return HubAccessError(Problem("the Hub accepts the token", "a refusal (401)", "", fix))

"""Publishing: an exported folder becomes a repository on the Hub, or a pull request to one, in one commit.

`send` is the way in for any set of files (a Space goes through it too); `publish` adds what a merge needs: a whole
folder, and licences that allow it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from merging_core import __version__
from merging_core.errors import BasinError, CancelledError, CheckpointError, HubError, Problem, legible
from merging_core.export.licences import hindrances, licences_in, with_licence

__all__ = ["Published", "publish", "send"]

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]
Names = frozenset[str]

_CARD = "README.md"
_NEEDED = (_CARD, "config.json", "recipe.json")
_WEIGHTS = re.compile(r"[^/]+\.safetensors(?:\.index\.json)?")
_KINDS = (".safetensors", ".json", ".md", ".png", ".svg", ".csv", ".txt", ".yaml", ".jinja")
_LARGE = 1 << 20
"""Bytes from which a file is uploaded by itself, so that progress can be told and the work be cancelled between."""
_LARGEST_TEXT = 1 << 20
_OF_THE_HUB = frozenset({".gitattributes"})
_TOKENS = "huggingface.co/settings/tokens"
_SILENCE = 120.0
"""Seconds without a byte after which the Hub is said not to answer; a whole upload takes as long as it takes."""
_ANSWERED_HERE = frozenset(range(400, 500)) - {408, 429}
"""Statuses that have sentences of their own below."""


@dataclass(frozen=True)
class Published:
    """Where something was published."""

    repo_id: str
    url: str
    """Of the repository, or of the pull request."""
    commit: str
    """40 hex digits."""
    files: tuple[str, ...]
    removed: tuple[str, ...]
    """Files of an earlier upload that would have stood beside the new ones."""
    nbytes: int
    pull_request: bool

    def as_json(self) -> dict[str, Any]:
        """Return the plain values."""
        return {
            "repo_id": self.repo_id,
            "url": self.url,
            "commit": self.commit,
            "files": list(self.files),
            "removed": list(self.removed),
            "bytes": self.nbytes,
            "pull_request": self.pull_request,
        }


def publish(  # noqa: PLR0913
    folder: str | Path,
    repo_id: str,
    token: str | None,
    *,
    private: bool = False,
    create: bool = True,
    as_pull_request: bool = False,
    message: str = "Publish a merge made with Basin",
    licence_override: str | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    endpoint: str | None = None,
    silence: float = _SILENCE,
) -> Published:
    """Upload an exported folder with its card to `owner/name`, in one commit; return its address and the commit.

    `create`: the repository is made, and must not hold anything yet; without it, one that exists is changed, and
    weights of an earlier upload are taken out. `as_pull_request` proposes the change to one that exists instead.
    `licence_override`: the licence to publish under where those of the parts are unknown or do not allow a merge to be
    published; the card names it. `progress(share, what)`, shares in [0, 1]; `cancelled` is asked between two files.

    Raises: `CheckpointError` if the folder is not a whole export; `HubError` for a licence, and for whatever the Hub
    says; `CancelledError`, after which nothing is visible but, at most, an empty repository.
    """
    found = _exported(Path(folder))
    files: dict[str, Path | bytes] = dict(found)
    card = _text(found[_CARD])
    if licence_override is not None:
        files[_CARD] = with_licence(card, licence_override).encode()
    else:
        _check_licences(card, _text(found["recipe.json"]))
    return send(
        files,
        repo_id,
        token,
        private=private,
        must_exist=as_pull_request or not create,
        may_change=lambda there: as_pull_request or not create,
        stale=lambda there: frozenset(name for name in there if _WEIGHTS.fullmatch(name)),
        as_pull_request=as_pull_request,
        message=message,
        progress=progress,
        cancelled=cancelled,
        endpoint=endpoint,
        silence=silence,
    )


def send(  # noqa: PLR0913
    files: Mapping[str, Path | bytes],
    repo_id: str,
    token: str | None,
    *,
    kind: Literal["model", "space"] = "model",
    private: bool = False,
    must_exist: bool = False,
    may_change: Callable[[Names], bool] = lambda there: False,
    stale: Callable[[Names], Names] = lambda there: frozenset(),
    as_pull_request: bool = False,
    hardware: str | None = None,
    message: str,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    endpoint: str | None = None,
    silence: float = _SILENCE,
) -> Published:
    """Upload files, named by their place in the repository, in one commit; an empty repository counts as a new one.

    `may_change` and `stale` are given the names of the files that are there: whether they may be changed at all, and
    which of them go unless they are among the new ones. Another commit in the meantime is never overwritten.

    Raises: `HubError`, `CancelledError`.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    from merging_core.hub.session import Caller, rules

    if not token:
        problem = Problem("a token of the Hub is given", "none", "token", f"make one that may write at {_TOKENS}")
        raise HubError(problem)
    api = HfApi(endpoint=endpoint, token=token, library_name="basin", library_version=__version__)
    tell, stop = progress or _silent, cancelled or _never
    large = {name: path for name, path in files.items() if isinstance(path, Path) and _alone(path, kind)}
    caller = Caller(api.endpoint, token, silence)
    with rules(caller, repo_id, passed=_ANSWERED_HERE), _in_sentences(repo_id, token):
        tell(0.0, "asking the Hub")
        parent, there = _look(api, repo_id, kind)
        if parent is None and must_exist:
            must = "the repository exists and the token may see it"
            raise HubError(Problem(must, "none of this name", repo_id, "leave it to be created"))
        if there and not may_change(there):
            must, got = "a new repository is published to", f"one that holds {len(there)} files"
            fix = "name another, or say that this one may be changed"
            raise HubError(Problem(must, got, repo_id, fix))
        if parent is None:
            sdk: dict[str, Any] = {"space_sdk": "gradio", "space_hardware": hardware} if kind == "space" else {}
            api.create_repo(repo_id, repo_type=kind, private=private, **sdk)
        elif hardware is not None:
            api.request_space_hardware(repo_id, hardware)  # type: ignore[arg-type]
        additions = {
            name: CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(data) if isinstance(data, Path) else data)
            for name, data in files.items()
        }
        total, done = sum(path.stat().st_size for path in large.values()), 0
        for name, path in large.items():
            _go_on(stop)
            tell(done / total, f"uploading {name}")
            api.preupload_lfs_files(
                repo_id, [additions[name]], repo_type=kind, create_pr=as_pull_request, free_memory=False
            )
            done += path.stat().st_size
        _go_on(stop)
        tell(1.0, "committing")
        removed = sorted(stale(there) - set(files))
        commit = api.create_commit(
            repo_id,
            [*additions.values(), *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in removed)],
            commit_message=message,
            repo_type=kind,
            create_pr=as_pull_request,
            parent_commit=parent,
        )
    page = f"{api.endpoint}/{'spaces/' if kind == 'space' else ''}{repo_id}"
    nbytes = sum(data.stat().st_size if isinstance(data, Path) else len(data) for data in files.values())
    url = commit.pr_url if as_pull_request and commit.pr_url else page
    return Published(repo_id, url, commit.oid, tuple(sorted(files)), tuple(removed), nbytes, as_pull_request)


def _exported(folder: Path) -> dict[str, Path]:
    """List the files of an export; refuse a folder that lacks one, or holds what no export writes."""
    if not folder.is_dir():
        problem = Problem("an exported folder is there", "none", folder.name, "export a merge first")
        raise CheckpointError(problem)
    entries = {path.name: path for path in sorted(folder.iterdir())}
    missing = [name for name in _NEEDED if name not in entries]
    if not any(name.endswith(".safetensors") for name in entries):
        missing.append("weights (.safetensors)")
    problems = []
    if missing:
        must, fix = "an exported folder is whole", "export the merge again"
        problems.append(Problem(must, f"one without {', '.join(missing)}", folder.name, fix))
    strange = [
        name
        for name, path in entries.items()
        if path.is_symlink() or not path.is_file() or path.suffix not in _KINDS or name.startswith(".")
    ]
    if strange:
        must = "a published folder holds what an export writes, and nothing else"
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        problems.append(Problem(must, ", ".join(strange[:3]) + more, folder.name, "take it out"))
    if problems:
        raise CheckpointError(*problems)
    return entries


def _check_licences(card: str, recipe: str) -> None:
    """Refuse what the licences of the parts do not allow; a part that the card is silent about is unknown."""
    licences = licences_in(card)
    try:
        found = json.loads(recipe)
        parts = {str(entry["ref"]) for entry in found["models"]} | (
            {str(found["base"])} if found.get("base") else set()
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        must = "recipe.json holds the recipe of the merge"
        raise CheckpointError(Problem(must, "something else", "recipe.json", "export the merge again")) from None
    if len(licences) < max(1, len(parts)):
        licences = {**licences, _CARD: None}
    problems = hindrances(licences)
    if problems:
        raise HubError(*problems)


def _text(path: Path) -> str:
    if path.stat().st_size > _LARGEST_TEXT:
        must = f"{path.name} has at most {_LARGEST_TEXT} bytes"
        raise CheckpointError(Problem(must, "more", path.name, "export the merge again"))
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CheckpointError(Problem("the file is UTF-8 text", "other bytes", path.name)) from None


def _look(api: Any, repo_id: str, kind: str) -> tuple[str | None, Names]:
    """Return the newest commit of a repository and what it holds; nothing if it cannot be seen."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = api.repo_info(repo_id, repo_type=kind)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError as error:
        if error.response.status_code == 401:
            raise
        return None, frozenset()
    return info.sha, frozenset(found.rfilename for found in info.siblings or ()) - _OF_THE_HUB


def _alone(path: Path, kind: str) -> bool:
    """Say whether a file goes by itself: a large one, and pictures of a model, which the client would send in threads
    that no rule reaches."""
    return path.stat().st_size >= _LARGE or (kind == "model" and path.suffix in (".png", ".safetensors"))


def _silent(share: float, what: str) -> None:
    return None


def _never() -> bool:
    return False


def _go_on(cancelled: Cancelled) -> None:
    if cancelled():
        raise CancelledError(Problem("publishing goes on", "a request to stop"))


@contextmanager
def _in_sentences(repo_id: str, token: str) -> Iterator[None]:
    """Turn what the client raises into a sentence; none holds the token."""
    from huggingface_hub.errors import HfHubHTTPError

    # The bases of this class are the client's own, of whichever HTTP library it stands on, and OSError.
    bases: tuple[Any, ...] = HfHubHTTPError.__bases__
    expected: tuple[type[Exception], ...] = (*bases, ValueError, RuntimeError, KeyError)
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
    if isinstance(error, KeyError | json.JSONDecodeError):
        fix = "check HF_ENDPOINT and the network"
        return Problem("the Hub answers in its own form", "something else", "", fix)
    if isinstance(error, ValueError):
        return Problem("the Hub accepts what is sent", f"“{_line(str(error))}”")
    return Problem("the Hub can be reached", f"no answer ({name})", "", "check the network and try again")


def _refused(status: int, said: str) -> Problem:
    """Say what the Hub means by a status."""
    if status == 401:
        return Problem("the token is one that the Hub knows", "another (401)", "", f"make a new one at {_TOKENS}")
    if status == 403:
        fix = f"give it this right at {_TOKENS}, or name a repository of yours"
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

"""Publishing: an exported folder becomes a repository on the Hub, or a pull request to one, in one commit.

`send` is the way in for any set of files (a Space goes through it too); `publish` adds what a merge needs: a whole
folder, and licences that allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from merging_core.errors import BasinError, CancelledError, HubError, Problem
from merging_core.hub.exported import WEIGHTS, read_exported
from merging_core.hub.upload_problems import SILENCE, asking

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi

__all__ = ["Destination", "Published", "look", "publish", "send"]

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]
Leaves = Callable[[Problem], object]
Names = frozenset[str]

_LARGE = 1 << 20
"""Bytes from which a file is uploaded by itself, so that progress can be told and the work be cancelled between."""
_OF_THE_HUB = frozenset({".gitattributes"})
_LOOK_SILENCE = 10.0
"""Seconds in which it is known what a publish that failed has left."""


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


@dataclass(frozen=True)
class Destination:
    """A repository that something may be published to, as it is now."""

    repo_id: str
    exists: bool
    """Whether it is there, and may be seen with the token."""
    private: bool | None
    files: tuple[str, ...]
    """What it holds; an empty repository counts as a new one."""
    removed: tuple[str, ...]
    """What of it an upload would take out."""

    def as_json(self) -> dict[str, Any]:
        """Return the plain values; of the files, how many there are."""
        return {
            "repo": self.repo_id,
            "exists": self.exists,
            "private": self.private,
            "files": len(self.files),
            "removed": list(self.removed),
        }


def look(
    repo_id: str,
    names: Names,
    token: str | None,
    *,
    endpoint: str | None = None,
    silence: float = SILENCE,
) -> Destination:
    """Say what a repository holds that files of these names may be published to; nothing is changed.

    Raises: `HubError`.
    """
    _check_name(repo_id)
    with asking(repo_id, token, endpoint, silence) as api:
        info, there = _look(api, repo_id, "model")
    gone = sorted(name for name in there if WEIGHTS.fullmatch(name) and name not in names)
    private = getattr(info, "private", None)
    return Destination(repo_id, info is not None, private, tuple(sorted(there)), tuple(gone))


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
    leaves: Leaves | None = None,
    endpoint: str | None = None,
    silence: float = SILENCE,
) -> Published:
    """Upload an exported folder with its card to `owner/name`, in one commit; return its address and the commit.

    `create`: the repository is made, and must not hold anything yet; without it, one that exists is changed, and
    weights of an earlier upload are taken out. `as_pull_request` proposes the change to one that exists instead.
    `licence_override`: the licence to publish under where those of the parts are unknown or do not allow a merge to be
    published; the card names it. `progress(share, what)`, shares in [0, 1]; `cancelled` is asked between two files;
    `leaves` hears, when a repository was made, what stays behind if this process ends before the commit.

    Raises: `CheckpointError` if the folder is not a whole export; `HubError` for a licence, and for whatever the Hub
    says; `CancelledError`. Nothing is visible then but, at most, an empty repository, which the last problem names.
    """
    files = read_exported(Path(folder)).to_send(repo_id, licence_override)
    return send(
        files,
        repo_id,
        token,
        private=private,
        must_exist=as_pull_request or not create,
        may_change=lambda there: as_pull_request or not create,
        stale=lambda there: frozenset(name for name in there if WEIGHTS.fullmatch(name)),
        as_pull_request=as_pull_request,
        message=message,
        progress=progress,
        cancelled=cancelled,
        leaves=leaves,
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
    leaves: Leaves | None = None,
    endpoint: str | None = None,
    silence: float = SILENCE,
) -> Published:
    """Upload files, named by their place in the repository, in one commit; an empty repository counts as a new one.

    `may_change` and `stale` are given the names of the files that are there: whether they may be changed at all, and
    which of them go unless they are among the new ones. Another commit in the meantime is never overwritten. Nothing is
    ever deleted but by the commit: a repository that was made for nothing is named.

    Raises: `HubError`, `CancelledError`.
    """
    _check_name(repo_id)
    tell, stop = progress or _silent, cancelled or _never
    with asking(repo_id, token, endpoint, silence) as api:
        tell(0.0, "asking the Hub")
        info, there = _look(api, repo_id, kind)
        parent = info.sha if info is not None else None
        if parent is None and must_exist:
            must = "the repository exists and the token may see it"
            raise HubError(Problem(must, "none of this name", repo_id, "leave it to be created"))
        if there and not may_change(there):
            many = "1 file" if len(there) == 1 else f"{len(there)} files"
            must, got = "a new repository is published to", f"one that holds {many}"
            fix = "name another, or say that this one may be changed"
            raise HubError(Problem(must, got, repo_id, fix))
        if parent is not None and hardware is not None:
            api.request_space_hardware(repo_id, hardware)  # type: ignore[arg-type]
    _go_on(stop)
    removed = sorted(stale(there) - set(files))
    try:
        if parent is None:
            _create(repo_id, token, endpoint, silence, kind=kind, private=private, hardware=hardware)
            if leaves is not None:
                leaves(_left_empty(repo_id))
            tell(0.0, "the repository is made")
        with asking(repo_id, token, endpoint, silence) as api:
            commit = _commit(api, repo_id, files, removed, parent, kind, message, as_pull_request, tell, stop)
    except BasinError as error:
        if parent is None:
            raise _with_left(error, repo_id, token, endpoint, min(silence, _LOOK_SILENCE), kind) from None
        raise
    page = f"{api.endpoint}/{'spaces/' if kind == 'space' else ''}{repo_id}"
    nbytes = sum(data.stat().st_size if isinstance(data, Path) else len(data) for data in files.values())
    url = commit.pr_url if as_pull_request and commit.pr_url else page
    return Published(repo_id, url, commit.oid, tuple(sorted(files)), tuple(removed), nbytes, as_pull_request)


def _commit(  # noqa: PLR0913
    api: HfApi,
    repo_id: str,
    files: Mapping[str, Path | bytes],
    removed: Sequence[str],
    parent: str | None,
    kind: str,
    message: str,
    as_pull_request: bool,
    tell: Progress,
    stop: Cancelled,
) -> CommitInfo:
    """Upload what is large, then commit everything."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    large = {name: path for name, path in files.items() if isinstance(path, Path) and _alone(path, kind)}
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
    return api.create_commit(
        repo_id,
        [*additions.values(), *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in removed)],
        commit_message=message,
        repo_type=kind,
        create_pr=as_pull_request,
        parent_commit=parent,
    )


def _create(  # noqa: PLR0913
    repo_id: str,
    token: str | None,
    endpoint: str | None,
    silence: float,
    *,
    kind: str,
    private: bool,
    hardware: str | None,
) -> None:
    """Make a repository."""
    sdk: dict[str, Any] = {"space_sdk": "gradio", "space_hardware": hardware} if kind == "space" else {}
    with asking(repo_id, token, endpoint, silence, whole=True) as api:
        api.create_repo(repo_id, repo_type=kind, private=private, **sdk)


def _with_left(  # noqa: PLR0913
    error: BasinError, repo_id: str, token: str | None, endpoint: str | None, silence: float, kind: str
) -> BasinError:
    """Return the error, and beside it what there is now of the repository that was to be made."""
    try:
        with asking(repo_id, token, endpoint, silence, whole=True) as api:
            info, there = _look(api, repo_id, kind)
    except BasinError:
        return type(error)(*error.problems, _left_empty(repo_id, "may be"))
    if info is None:
        return error
    if not there:
        return type(error)(*error.problems, _left_empty(repo_id))
    fix = "look at it before you publish again"
    return type(error)(*error.problems, Problem("the Hub answers when it has taken a commit", "nothing", repo_id, fix))


def _left_empty(repo_id: str, verb: str = "is") -> Problem:
    """Say that a repository was made and got nothing."""
    fix = f"it {verb} on the Hub, empty: publish to it again, or delete it there"
    return Problem("the new repository gets its files", "nothing", repo_id, fix)


def _check_name(repo_id: str) -> None:
    """Refuse a name without its owner, which the client would take."""
    if repo_id.count("/") != 1:
        raise HubError(Problem("a repository is named owner/name", repr(repo_id[:100]), "", "write it like ann/merge"))


def _look(api: Any, repo_id: str, kind: str) -> tuple[Any, Names]:
    """Return what the Hub says of a repository, and what it holds; nothing if it cannot be seen."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = api.repo_info(repo_id, repo_type=kind)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError as error:
        if error.response.status_code == 401:
            raise
        return None, frozenset()
    if info.siblings is None:
        fix = "nothing is changed where it is not known what is there; try again later"
        raise HubError(Problem("the Hub says what the repository holds", "an answer without files", repo_id, fix))
    return info, frozenset(found.rfilename for found in info.siblings) - _OF_THE_HUB


def _alone(path: Path, kind: str) -> bool:
    """Say whether a file goes by itself: a large one, and pictures of a model, which the client would send in threads
    that no rule reaches."""
    return path.stat().st_size >= _LARGE or (kind == "model" and path.suffix in (".png", ".safetensors", ".tensors"))


def _silent(share: float, what: str) -> None:
    return None


def _never() -> bool:
    return False


def _go_on(cancelled: Cancelled) -> None:
    if cancelled():
        raise CancelledError(Problem("publishing goes on", "a request to stop"))

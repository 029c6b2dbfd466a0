"""What a repository holds at one commit: names, sizes and digests of its files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from huggingface_hub import ModelInfo, get_hf_file_metadata, hf_hub_url
from huggingface_hub.hf_api import BlobLfsInfo, RepoFile

from merging_core.checkpoints.index import INDEX_NAME
from merging_core.checkpoints.reader import MODEL_NAME
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, HubAccessError, HubError, Problem
from merging_core.hub.problems import without_meaning
from merging_core.hub.search import HubEntry, entry_of
from merging_core.hub.session import Caller, rules, understood

__all__ = ["CARD_NAME", "Listing", "RemoteFile", "list_repository", "remote_file"]

CARD_NAME = "README.md"
_COMMIT, _SHA256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")
_MOST_FILES = 10_000
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository at one commit."""

    name: str
    size: int | None
    """None where the Hub does not say."""
    sha256: str | None
    """Of the content, for files kept outside git (LFS)."""
    blob: str | None
    """Git's sha1 of the content, for files kept in git."""


@dataclass(frozen=True)
class Listing:
    """A repository at one commit."""

    ref: Ref
    """With the commit."""
    about: HubEntry
    files: dict[str, RemoteFile]
    """Those at the top of the repository, by name."""

    def weights(self) -> RemoteFile:
        """Return the file with the weights, or the index of those over which they are spread.

        Raises CheckpointError where there is neither, saying what there is.
        """
        for name in (MODEL_NAME, INDEX_NAME):
            if name in self.files:
                return self.files[name]
        must = f"a model on the Hub holds {MODEL_NAME} or {INDEX_NAME}"
        pickles = sorted(name for name in self.files if name.endswith(_PICKLES))
        others = sorted(name for name in self.files if name.endswith(".safetensors"))
        if pickles:
            fix = "pickles can run code and are never loaded: look for a revision with safetensors"
            raise CheckpointError(Problem(must, f"only {ascii(pickles[0][:80])}", "", fix))
        if others:
            fix = "only whole models can be merged"
            raise CheckpointError(Problem(must, f"only {ascii(others[0][:80])}", "", fix))
        raise CheckpointError(Problem(must, "a repository without weights", "", "choose another model"))


def list_repository(caller: Caller, ref: Ref) -> Listing:
    """Resolve a reference to a commit and list what lies there, in one request where the Hub tells sizes.

    Raises HubError; where the reference has a commit and the Hub answers with another, that it changed.
    """
    with rules(caller, ref.path), understood():
        info = caller.api.model_info(ref.path, revision=ref.pin, files_metadata=True)
        about = entry_of(info)
        files = _files_of(info)
    commit = info.sha
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise without_meaning("an answer without a commit")
    if ref.commit is not None and commit != ref.commit:
        fix = "take the model again"
        raise HubError(Problem("the Hub keeps the commit that was asked for", "another one", "", fix))
    ref = replace(ref, pin=commit)
    if any(_unclear(file) for file in files.values()):
        files |= _listed_by_tree(caller, ref)
    for name, file in files.items():
        if _unclear(file):
            files[name] = _asked_for(caller, ref, file)
    return Listing(ref, about, files)


def _listed_by_tree(caller: Caller, ref: Ref) -> dict[str, RemoteFile]:
    """Return the files as the tree lists them; none where there is no tree."""
    try:
        with rules(caller, ref.path), understood():
            tree = caller.api.list_repo_tree(ref.path, revision=ref.pin)
            return _at_the_top(
                remote_file(entry.path, entry.size, entry.lfs, entry.blob_id)
                for entry in tree
                if isinstance(entry, RepoFile)
            )
    except HubAccessError:
        return {}


def _asked_for(caller: Caller, ref: Ref, file: RemoteFile) -> RemoteFile:
    """Return a file as its own address describes it: by the size and the ETag, which is a digest."""
    url = hf_hub_url(ref.path, file.name, revision=ref.pin, endpoint=caller.endpoint)
    with rules(caller, ref.path), understood():
        found = get_hf_file_metadata(url, token=caller.token or False, endpoint=caller.endpoint)
    return RemoteFile(file.name, _size(found.size), _digest(found.etag, _SHA256), _digest(found.etag, _COMMIT))


def _unclear(file: RemoteFile) -> bool:
    """Say whether the first answer left out what weights are checked by."""
    digest = file.sha256 or file.blob
    return file.name.endswith(".safetensors") and (file.size is None or digest is None)


def remote_file(name: str, size: int | None, lfs: BlobLfsInfo | None, blob: str | None) -> RemoteFile:
    """Return a file as huggingface_hub describes it in any of its answers."""
    digest = lfs.sha256 if lfs is not None else None
    held = lfs.size if lfs is not None else size
    return RemoteFile(name, _size(held), _digest(digest, _SHA256), _blob(blob, digest))


def _files_of(info: ModelInfo) -> dict[str, RemoteFile]:
    siblings = info.siblings or ()
    return _at_the_top(remote_file(one.rfilename, one.size, one.lfs, one.blob_id) for one in siblings)


def _at_the_top(files: Iterable[RemoteFile]) -> dict[str, RemoteFile]:
    top = {file.name: file for file in files if "/" not in file.name}
    if len(top) > _MOST_FILES:
        raise HubError(Problem(f"a repository has at most {_MOST_FILES} files at its top", f"{len(top)}"))
    return top


def _size(size: int | None) -> int | None:
    """What a server calls a size may be anything."""
    return size if type(size) is int and size >= 0 else None


def _digest(text: object, form: re.Pattern[str]) -> str | None:
    return text if isinstance(text, str) and form.fullmatch(text) else None


def _blob(text: object, lfs: str | None) -> str | None:
    """Git's sha1 of a file; of one kept with LFS it is that of the pointer, which says nothing of the content."""
    return _digest(text, _COMMIT) if lfs is None else None

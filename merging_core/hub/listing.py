"""What a repository holds at one commit: names, sizes and digests of its files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from huggingface_hub import get_hf_file_metadata, hf_hub_url

from merging_core.checkpoints.adapter_config import ADAPTER_CONFIG, ADAPTER_MODEL
from merging_core.checkpoints.index import INDEX_NAME
from merging_core.checkpoints.reader import MODEL_NAME
from merging_core.checkpoints.ref import Ref
from merging_core.checkpoints.templates import is_template
from merging_core.errors import CheckpointError, HubAccessError, HubError, Problem
from merging_core.hub.answers import Answer, count_of, repository, text_of, tree
from merging_core.hub.data_ref import Place
from merging_core.hub.problems import without_meaning
from merging_core.hub.search import HubEntry, entry_of
from merging_core.hub.session import Caller, rules, understood

__all__ = ["CARD_NAME", "Listing", "RemoteFile", "commit_of", "files_of", "files_of_tree", "list_repository"]

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
    """Those at the top of the repository, and named chat templates, by name."""

    def weights(self) -> RemoteFile:
        """Return the file with the weights, the index of those over which they are spread, or a LoRA adapter's.

        Raises CheckpointError where there is neither, saying what there is.
        """
        for name in (MODEL_NAME, INDEX_NAME):
            if name in self.files:
                return self.files[name]
        if ADAPTER_MODEL in self.files and ADAPTER_CONFIG in self.files:
            return self.files[ADAPTER_MODEL]
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
    answer = repository(caller, ref)
    about = entry_of(answer) or entry_of({**answer, "id": ref.path})
    assert about is not None, "a reference has a path"
    ref = replace(ref, pin=commit_of(answer, ref))
    listed = files_of(answer)
    files = _at_the_top(listed or ())
    if listed is None or any(_unclear(file) for file in files.values()):
        files |= _at_the_top(_listed_by_tree(caller, ref, needed=listed is None))
    for name, file in files.items():
        if _unclear(file):
            files[name] = _asked_for(caller, ref, file)
    return Listing(ref, about, files)


def commit_of(answer: Answer, ref: Place) -> str:
    """Return the commit that the Hub's answer about a repository is of.

    Raises HubError where it does not say one, and where it is not the one that was asked for.
    """
    commit = text_of(answer.get("sha"))
    if not _COMMIT.fullmatch(commit):
        raise without_meaning("an answer without a commit")
    if ref.commit is not None and commit != ref.commit:
        fix = "take the model again" if isinstance(ref, Ref) else "take the data set again"
        raise HubError(Problem("the Hub keeps the commit that was asked for", "another one", "", fix))
    return commit


def files_of(answer: Answer) -> list[RemoteFile] | None:
    """Return the files that the Hub's answer about a repository names; None where it cannot be read that far."""
    siblings = answer.get("siblings")
    if not isinstance(siblings, list):
        return None
    files = [file for one in siblings if (file := _file_of(one, "rfilename", "blobId", "sha256")) is not None]
    return files if len(files) == len(siblings) else None


def files_of_tree(caller: Caller, place: Place, *, recursive: bool = False) -> list[RemoteFile]:
    """Return the files as a repository's tree lists them; entries that have no name are left out. Raises HubError."""
    found = (_file_of(entry, "path", "oid", "oid") for entry in tree(caller, place, recursive=recursive))
    return [file for file in found if file is not None]


def _listed_by_tree(caller: Caller, ref: Ref, *, needed: bool) -> list[RemoteFile]:
    """Return the files as the tree lists them; none where there is no tree, unless nothing else lists them."""
    try:
        return files_of_tree(caller, ref)
    except HubAccessError:
        if needed:
            raise without_meaning("an answer whose list of files cannot be read") from None
        return []


def _asked_for(caller: Caller, ref: Ref, file: RemoteFile) -> RemoteFile:
    """Return a file as its own address describes it: by the size and the ETag, which is a digest."""
    url = hf_hub_url(ref.path, file.name, revision=ref.pin, endpoint=caller.endpoint)
    with rules(caller, ref.path), understood():
        found = get_hf_file_metadata(url, token=caller.token or False, endpoint=caller.endpoint)
    return RemoteFile(file.name, count_of(found.size), _digest(found.etag, _SHA256), _digest(found.etag, _COMMIT))


def _unclear(file: RemoteFile) -> bool:
    """Say whether the first answer left out what weights are checked by."""
    digest = file.sha256 or file.blob
    return file.name.endswith(".safetensors") and (file.size is None or digest is None)


def _file_of(entry: object, name: str, blob: str, sha256: str) -> RemoteFile | None:
    """Read one file under the keys that the answer has for name and digests; None where it has no name.

    >>> _file_of({"path": "a", "size": 2, "oid": "0" * 40}, "path", "oid", "oid").size
    2
    """
    if not isinstance(entry, Mapping) or entry.get("type", "file") != "file" or not text_of(entry.get(name)):
        return None
    lfs, size = entry.get("lfs"), count_of(entry.get("size"))
    if not lfs:
        return RemoteFile(entry[name], size, None, _digest(entry.get(blob), _COMMIT))
    # Git's sha1 of a file that is kept with LFS is that of a pointer, and says nothing of the content.
    kept: Answer = lfs if isinstance(lfs, Mapping) else {}
    held = count_of(kept.get("size"))
    return RemoteFile(entry[name], size if held is None else held, _digest(kept.get(sha256), _SHA256), None)


def _at_the_top(files: Iterable[RemoteFile]) -> dict[str, RemoteFile]:
    top = {file.name: file for file in files if "/" not in file.name or is_template(file.name)}
    if len(top) > _MOST_FILES:
        raise HubError(Problem(f"a repository has at most {_MOST_FILES} files at its top", f"{len(top)}"))
    return top


def _digest(text: object, form: re.Pattern[str]) -> str | None:
    return text if isinstance(text, str) and form.fullmatch(text) else None

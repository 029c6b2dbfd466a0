"""References to data sets of the Hub, which are no checkpoints: another kind of repository under the same names."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.errors import CheckpointError, HubError, Problem

__all__ = ["DataRef", "Place", "data_ref", "data_ref_of_address", "kind_of", "repository_of"]

_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/datasets/([^?#]*)(?:[?#].*)?")
_SHOWN = 80


@dataclass(frozen=True)
class DataRef:
    """A data set, and the revision of it: a branch, a tag or, where it is resolved, a commit.

    >>> DataRef("ada/flags", "0123456789" * 4).label
    'data set ada/flags@0123456'
    """

    path: str
    pin: str | None = None

    @property
    def commit(self) -> str | None:
        """The commit of a reference that is resolved; else None."""
        return Ref("hub", self.path, self.pin).commit

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"data set {Ref('hub', self.path, self.pin).label.removeprefix('hub:')}"

    @property
    def text(self) -> str:
        """Return `hub:owner/name@revision`, as a task names its source."""
        return str(Ref("hub", self.path, self.pin))

    def at(self, pin: str) -> DataRef:
        """Return the same data set at another revision."""
        return replace(self, pin=pin)


Place = Ref | DataRef
"""A repository at a revision: of a model, or of a data set."""


def kind_of(place: Place) -> str | None:
    """Return what huggingface_hub calls the kind of repository; None for models."""
    return "dataset" if isinstance(place, DataRef) else None


def repository_of(place: Place) -> str:
    """Return a repository's path on the Hub's site.

    >>> repository_of(DataRef("ada/flags")), repository_of(Ref("hub", "ada/base"))
    ('datasets/ada/flags', 'ada/base')
    """
    return f"datasets/{place.path}" if isinstance(place, DataRef) else place.path


def data_ref(text: str) -> DataRef:
    """Read `hub:owner/name[@revision]` as the name of a data set. Raises HubError where it is none."""
    try:
        ref = parse_ref(text)
    except CheckpointError as error:
        raise HubError(*error.problems) from None
    if ref.scheme != "hub":
        must, fix = "a data set of the Hub is meant", "write it like hub:owner/name"
        raise HubError(Problem(must, f"{ref.scheme}:", "data set", fix))
    return DataRef(ref.path, ref.pin)


def data_ref_of_address(text: str) -> DataRef:
    """Return the data set that a person means who pastes its page's address, `owner/name` or a reference.

    Raises HubError where the text is none of these.

    >>> data_ref_of_address("https://huggingface.co/datasets/ada/flags/viewer/default/train").path
    'ada/flags'
    >>> data_ref_of_address("datasets/ada/flags") == data_ref_of_address("ada/flags")
    True
    """
    text = text.strip()
    match = _ADDRESS.fullmatch(text)
    if match is None and "://" in text:
        must, fix = "the address is that of a data set on huggingface.co", "paste its page, or owner/name"
        raise HubError(Problem(must, ascii(text[:_SHOWN]), "address", fix))
    path = match.group(1) if match is not None else text.removeprefix("hub:").removeprefix("datasets/")
    parts = [part for part in path.split("/") if part]
    owner_and_name, _, pin = "/".join(parts[:2]).partition("@")
    if match is None and len(parts) > 2:
        must, fix = "a data set is owner/name", "paste the address of its page"
        raise HubError(Problem(must, ascii(text[:_SHOWN]), "address", fix))
    if len(parts) > 3 and parts[2] in ("tree", "resolve", "blob", "commit"):
        pin = parts[3]
    return data_ref(f"hub:{owner_and_name}" + (f"@{pin}" if pin else ""))

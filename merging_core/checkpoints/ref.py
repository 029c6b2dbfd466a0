"""References: the short texts by which recipes, links and people name a checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePath

from merging_core.errors import CheckpointError, Problem, closest

__all__ = ["LEARNED", "SCHEMES", "Ref", "parse_ref", "ref_of_url"]

SCHEMES = ("zoo", "hub", "local", "upload", "file")
"""The schemes that can be opened."""
LEARNED = "learned"
"""The scheme of learned masks and coefficients, which are no model: a content digest of 64 hex digits."""

_VISION = "#vision"
_LATER = {"recipe": "merges of merges"}
_LONGEST = {"zoo": 128, "hub": 160, "local": 256, "upload": 80, "file": 4096, LEARNED: 64}
_LONGEST_SHOWN = 80
_ZOO_PATH = re.compile(r"[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9_-]+)*(?:/[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9_-]+)*){0,3}")
_LOCAL_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,94}"
_LOCAL_PATH = re.compile(rf"{_LOCAL_NAME}(?:/{_LOCAL_NAME}){{0,2}}")
_UPLOAD_PATH = re.compile(r"[0-9a-f]{32}(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]{0,39})?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PIN = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{48})?")
_HUB_NAME = r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_HUB_PATH = re.compile(rf"({_HUB_NAME})/({_HUB_NAME})(?<!\.git)")
_NO_OWNERS = {
    "datasets": "a data set",
    "spaces": "a Space",
    "models": "a list of models",
    "api": "an address of the API",
}
_REVISION = re.compile(r"(?!.*(?:\.\.|//|\.lock(?:/|$)|/\.))[A-Za-z0-9_][A-Za-z0-9_./+-]{0,126}(?<![/.])|[A-Za-z0-9_]")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT_COMMIT, _SHORT_UPLOAD = 7, 8
_SITES = ("huggingface.co", "www.huggingface.co", "hf.co")
_WEB = re.compile(r"(?:https?://)?([^/]+)/([^?#]*)(?:[?#].*)?")
_SPECIAL_REVISION = re.compile(r"refs/(?:pr|convert)/[^/]+")


@dataclass(frozen=True)
class Ref:
    """Where a checkpoint lives and, when pinned, what it must contain.

    The pin is the content digest or its first 16 hex digits; on the Hub a revision, which is a branch, a tag or, where
    it is resolved, a commit of 40 hex digits. The text form is `scheme:path[@pin][#part]`.

    >>> str(Ref("zoo", "tiny/digits", "0123456789abcdef"))
    'zoo:tiny/digits@0123456789abcdef'
    """

    scheme: str
    path: str
    pin: str | None = None
    part: str = ""
    """`vision`: the vision tower of a whole CLIP model; written `#vision` at the end."""

    def __post_init__(self) -> None:
        problems = _problems(self.scheme, self.path, self.pin)
        if self.part not in ("", _VISION[1:]):
            must, fix = "the part of a checkpoint is #vision", "leave it out to take the whole"
            problems.append(Problem(must, _shown(f"#{self.part}"), "reference", fix))
        if problems:
            raise CheckpointError(*problems)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.path}" + (f"@{self.pin}" if self.pin else "") + self._ending

    @property
    def label(self) -> str:
        """How messages call the checkpoint: of a file only the last part of its path, which a visitor may see.

        An upload is called by its name, or by its first digits.

        >>> Ref("file", "/home/ada/experts/digits").label
        'file:digits'
        >>> Ref("hub", "ada/digits", "0123456789" * 4).label
        'hub:ada/digits@0123456'
        """
        if self.scheme == "hub":
            revision = self.pin[:_SHORT_COMMIT] if self.pin and self.commit else self.pin
            return f"hub:{self.path}" + (f"@{revision}" if revision else "") + self._ending
        if self.scheme == "upload":
            digits, _, name = self.path.partition("/")
            return f"upload:{name or digits[:_SHORT_UPLOAD]}"
        if self.scheme == LEARNED:
            return f"{LEARNED}:{self.path[:_SHORT_UPLOAD]}"
        shown = PurePath(self.path).name or self.path if self.scheme == "file" else self.path
        return f"{self.scheme}:{shown}" + self._ending

    @property
    def _ending(self) -> str:
        return f"#{self.part}" if self.part else ""

    @property
    def whole(self) -> Ref:
        """The checkpoint that this is a part of; itself where it is whole.

        >>> str(parse_ref("hub:ada/clip@main#vision").whole)
        'hub:ada/clip@main'
        """
        return replace(self, part="") if self.part else self

    @property
    def commit(self) -> str | None:
        """The commit, 40 hex digits, of a reference to the Hub that is resolved; else None."""
        return self.pin if self.scheme == "hub" and self.pin and _COMMIT.fullmatch(self.pin) else None

    @property
    def unpinned(self) -> Ref:
        """The same reference without its pin."""
        return replace(self, pin=None)


def parse_ref(text: object) -> Ref:
    """Read `scheme:path[@pin]`.

    A `file:` path may hold an “@”: only 16 or 64 hex digits after the last one are a pin. On the Hub the pin is a
    revision: `hub:owner/name@main`.
    Raises CheckpointError with one sentence for each thing that is wrong.

    >>> parse_ref("zoo:tiny/digits")
    Ref(scheme='zoo', path='tiny/digits', pin=None, part='')
    >>> parse_ref("file:/models/a@b").path
    '/models/a@b'
    """
    if not isinstance(text, str):
        raise CheckpointError(Problem("a reference is text", type(text).__name__, "reference", _advice()))
    scheme, colon, rest = text.partition(":")
    if not colon:
        raise CheckpointError(Problem("a reference is written scheme:path", _shown(text), "reference", _advice()))
    part = ""
    if scheme in ("zoo", "hub", "local") and rest.endswith(_VISION):
        rest, part = rest.removesuffix(_VISION), _VISION[1:]
    if scheme == "hub":
        path, at, pin = rest.partition("@")
        return Ref(scheme, path, pin if at else None, part)
    path, at, pin = rest.rpartition("@")
    if at and (scheme in ("zoo", "local", "upload") or _PIN.fullmatch(pin)):
        return Ref(scheme, path, pin, part)
    return Ref(scheme, rest, None, part)


def ref_of_url(text: str) -> Ref:
    """Return the reference that a person means who pastes an address of the Hub's site, `owner/name`, or a reference.

    Raises CheckpointError where the text is none of these, or leads to something that is no model.

    >>> str(ref_of_url("https://huggingface.co/ada/digits/tree/v2"))
    'hub:ada/digits@v2'
    >>> str(ref_of_url("ada/digits"))
    'hub:ada/digits'
    """
    text = text.strip()
    if any(text.startswith(f"{scheme}:") for scheme in (*SCHEMES, *_LATER)):
        return parse_ref(text)
    match = _WEB.fullmatch(text)
    site = match.group(1).lower() if match is not None else ""
    if match is None or (site not in _SITES and "://" in text):
        must = f"the address is one of {_SITES[0]}"
        raise CheckpointError(Problem(must, _shown(text), "address", "paste the page of a model, or owner/name"))
    parts = [part for part in (match.group(2) if site in _SITES else text).split("/") if part]
    if parts and parts[0] in _NO_OWNERS:
        raise CheckpointError(Problem("the address is that of a model", _NO_OWNERS[parts[0]], "address"))
    return Ref("hub", "/".join(parts[:2]), _revision_of(parts[2:]))


def _revision_of(parts: list[str]) -> str | None:
    """Return the revision in what follows `owner/name` in an address; None where it names none."""
    if len(parts) < 2 or parts[0] not in ("tree", "blob", "resolve", "commit"):
        if parts:
            must = "an address of a model ends with its name, or with /tree/ and a revision"
            raise CheckpointError(Problem(must, _shown("/".join(parts)), "address", "paste the page of the model"))
        return None
    rest = "/".join(parts[1:]).replace("%2F", "/").replace("%2f", "/")
    special = _SPECIAL_REVISION.match(rest)
    revision = special.group() if special else rest.split("/")[0]
    inside = rest[len(revision) :].strip("/")
    if parts[0] == "tree" and inside:
        must = "a checkpoint lies at the top of its repository"
        raise CheckpointError(Problem(must, f"the folder {_shown(inside)}", "address", "paste the page of the model"))
    return revision


def _hub_problem(path: str) -> Problem | None:
    where, fix = "reference", "write it like hub:owner/name or hub:owner/name@revision"
    match = _HUB_PATH.fullmatch(path)
    if match is not None and match.group(1) in _NO_OWNERS:
        return Problem("a reference names a model", _NO_OWNERS[match.group(1)], where, fix)
    must = "a model of the Hub is owner/name, of letters, digits, “-”, “_” and single dots"
    return Problem(must, _shown(path), where, fix) if match is None else None


def _problems(scheme: str, path: str, pin: str | None) -> list[Problem]:
    where = "reference"
    if scheme in _LATER:
        must = f"references start with {_listed(SCHEMES)}"
        return [Problem(must, f"{scheme}:", where, f"{_LATER[scheme]} are not available yet")]
    if scheme not in (*SCHEMES, LEARNED):
        must = f"references start with {_listed(SCHEMES)}"
        return [Problem(must, _shown(scheme), where, closest(scheme[:_LONGEST_SHOWN], SCHEMES))]
    longest = _LONGEST[scheme]
    problems = []
    if not path or len(path) > longest:
        problems.append(Problem(f"a path has 1 to {longest} characters", str(len(path)), where, _advice()))
    elif not path.isprintable():
        problems.append(Problem("a path has printable characters only", _shown(path), where, _advice()))
    elif scheme == "zoo" and not _ZOO_PATH.fullmatch(path):
        must = "a zoo path is lower-case names joined by “/”"
        problems.append(Problem(must, _shown(path), where, "write it like zoo:tiny/digits"))
    elif scheme == "local" and not _LOCAL_PATH.fullmatch(path):
        must = "a local path is one to three names of folders joined by “/”"
        problems.append(Problem(must, _shown(path), where, "write it like local:runs/digits"))
    elif scheme == "upload" and not _UPLOAD_PATH.fullmatch(path):
        must = "an upload is named by 32 hex digits, and “/” and a name where it has one"
        problems.append(Problem(must, _shown(path), where, "choose it again under Choose models"))
    elif scheme == LEARNED and not _DIGEST.fullmatch(path):
        must = "learned tensors are named by the 64 hex digits of their content"
        problems.append(Problem(must, _shown(path), where, "copy the reference from the recipe that came with them"))
    elif scheme == "hub" and (problem := _hub_problem(path)) is not None:
        problems.append(problem)
    elif scheme == "file" and _PIN.fullmatch(path.rpartition("@")[2]) and "@" in path:
        problems.append(Problem("a file path does not end like a pin", _shown(path), where, "rename the file"))
    if scheme == "hub":
        if pin is not None and not _REVISION.fullmatch(pin):
            must, fix = "a revision is a branch, a tag or a commit", "leave it out to take the main branch"
            problems.append(Problem(must, _shown(pin), where, fix))
    elif pin is not None and not _PIN.fullmatch(pin):
        fix = "leave the pin out to take what is there now"
        problems.append(Problem("a pin is 16 or 64 hex digits", _shown(pin), where, fix))
    return problems


def _listed(schemes: tuple[str, ...]) -> str:
    *first, last = (f"{name}:" for name in schemes)
    return f"{', '.join(first)} or {last}"


def _advice() -> str:
    return "write it like zoo:tiny/digits, hub:owner/name or file:/models/expert"


def _shown(text: str) -> str:
    return ascii(text[:_LONGEST_SHOWN]) if text else "nothing"

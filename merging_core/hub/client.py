"""The Hub as the rest of Basin sees it: one frozen value that says where, for whom, and where files are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.errors import CancelledError, CheckpointError, HubAwayError, HubError, Problem
from merging_core.hub.access import Memory, check_access
from merging_core.hub.attended import Stopped, attended
from merging_core.hub.cache import make_room
from merging_core.hub.data_ref import repository_of
from merging_core.hub.download import download_all, folder_of, missing_bytes, open_complete
from merging_core.hub.files import read_small
from merging_core.hub.headers import HubSurvey, read_survey
from merging_core.hub.listing import Listing, RemoteFile, list_repository
from merging_core.hub.search import Found, experts_of, search
from merging_core.hub.session import Caller

__all__ = ["HUGGING_FACE", "Hub"]

HUGGING_FACE = "https://huggingface.co"


@dataclass(frozen=True)
class Hub:
    """Checkpoints of the Hugging Face Hub, for one visitor.

    Every call ends within `deadline` seconds, a download when nothing came for some; nothing is asked with a token
    other than `token`. Visitors share `cache` and `memory` and differ in their tokens: `with_token`.
    Every method raises HubError, in one sentence, for whatever the Hub answers instead of what was asked for.
    """

    endpoint: str
    token: str | None = field(repr=False)
    """The visitor's own; None asks without one."""
    cache: Path
    deadline: float = 30.0
    """Seconds."""
    largest: int | None = None
    """Bytes that a checkpoint may have; None sets no limit."""
    budget: int | None = None
    """Bytes that all downloads together may take in the cache; None sets no limit."""
    own_cache: bool = False
    """Whether the cache is the caller's own: then it is used also while the Hub cannot be asked for access."""
    notice: Callable[[str], None] | None = field(default=None, repr=False, compare=False)
    """Hears, in a sentence, what is no error but should be known."""
    memory: Memory = field(default_factory=Memory, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.endpoint.startswith(("https://", "http://")):
            must = "the Hub's address starts with https:// or http://"
            raise HubError(Problem(must, ascii(self.endpoint[:80]), "endpoint", f"it is {HUGGING_FACE} by default"))
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token):
            raise HubError(Problem("a token is plain text", "other characters", "token", "copy it again"))

    def with_token(self, token: str | None) -> Hub:
        """Return the same Hub for another visitor."""
        return replace(self, token=token)

    def search(
        self,
        text: str = "",
        *,
        task: str | None = None,
        library: str | None = None,
        sort: str = "downloads",
        limit: int = 20,
        page: int = 0,
    ) -> Found:
        """Return a page of models; see `merging_core.hub.search.search`."""
        return search(self._caller(), text, task=task, library=library, sort=sort, limit=limit, page=page)

    def experts_of(self, base: str, *, limit: int = 20, page: int = 0) -> Found:
        """Return a page of the models that were fine-tuned from `base` (`owner/name`), as their cards say."""
        return experts_of(self._caller(), parse_ref(f"hub:{base}").path, limit=limit, page=page)

    def check_access(self, ref: Ref | str, *, anew: bool = False) -> None:
        """Ask whether this visitor may read the model; raises HubAccessError where not.

        A yes holds for a minute, unless it is asked `anew`.
        """
        check_access(self._caller(), self.memory, _hub_ref(ref), anew=anew)

    def granted(self, ref: Ref | str) -> float:
        """Return for how many seconds more the Hub's last yes to this visitor holds; nobody is asked."""
        return self.memory.granted(self._caller(), repository_of(_hub_ref(ref)))

    def pin(self, ref: Ref | str) -> Ref:
        """Return the reference with the commit that its branch or tag means now; one with a commit stays."""
        ref = _hub_ref(ref)
        return ref if ref.commit is not None else self._list(self._caller(), ref).ref

    def survey(self, ref: Ref | str) -> HubSurvey:
        """Return commit, files, configuration and headers, read without a download.

        Raises CheckpointError for what is wrong with the files, HubError where the checkpoint is too large.
        """
        caller = self._caller()
        ref = _hub_ref(ref)
        check_access(caller, self.memory, ref)
        return self._survey(caller, ref)

    def open(self, ref: Ref | str) -> Checkpoint:
        """Return the downloaded checkpoint, or one with headers only, whose leaves cannot be read before `download`.

        Access is checked with the visitor's token first, whatever lies in the cache.
        """
        caller = self._caller()
        ref = _hub_ref(ref)
        held = open_complete(self.cache, ref) if self.own_cache and ref.commit is not None else None
        away = self.memory.away(caller) if held is not None else None
        if away is None:
            try:
                check_access(caller, self.memory, ref)
            except HubAwayError as error:
                if held is None:
                    raise
                self.memory.keep_away(caller, error)
                away = error
        if held is not None and away is not None:
            if self.notice is not None:
                self.notice(
                    f"{ref.label}: taken from the cache, since the Hub cannot be asked ({away.problems[0].got})."
                )
            return held
        if ref.commit is None:
            ref = self._list(caller, ref).ref
        held = open_complete(self.cache, ref)
        return (
            held
            if held is not None
            else self._survey(caller, ref).checkpoint(folder_of(self.cache, ref), self._small(ref))
        )

    def missing_bytes(self, ref: Ref | str) -> int:
        """Return how many bytes `download` would fetch; 0 where everything is here."""
        checkpoint = self.open(ref)
        if open_complete(self.cache, checkpoint.ref) is not None:
            return 0
        return missing_bytes(self.cache, self._survey(self._caller(), checkpoint.ref))

    def download(
        self,
        ref: Ref | str,
        progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Path:
        """Download what is missing, check it, and return the folder that holds the checkpoint.

        `progress(share, what)` is called in this thread. Raises CancelledError soon after `cancelled()` becomes true;
        what came is kept, and the next download goes on from there. See `merging_core.hub.download`.
        """
        survey = self.survey(ref)
        self.make_room(folder_of(self.cache, survey.ref), missing_bytes(self.cache, survey))
        total = max(1, survey.nbytes)

        def tell(done: int, what: str) -> None:
            if progress is not None:
                progress(min(1.0, done / total), what)

        streams = Caller(self.endpoint.rstrip("/"), self.token, self.deadline)
        try:
            return attended(
                lambda meter, stopped: download_all(streams, self.cache, survey, meter.tell, stopped), tell, cancelled
            )
        except HubError as error:
            raise error.located(survey.ref.label) from None
        except Stopped:
            fix = "what came is kept; start it again to go on"
            raise CancelledError(Problem("a download runs to its end", "a request to cancel it", fix=fix)) from None

    def make_room(self, folder: Path, missing: int) -> None:
        """Remove what was used longest ago, until `missing` more bytes in `folder` fit into the cache's budget.

        Raises HubError where they cannot.
        """
        make_room(self.cache, missing, self.budget, folder)

    def _small(self, ref: Ref) -> Callable[[RemoteFile], bytes]:
        """Return what reads a small file at a commit, each within a deadline of its own."""

        def read(file: RemoteFile) -> bytes:
            try:
                return read_small(self._caller(), ref, file, file.size or 0)
            except HubError as error:
                raise error.located(ref.label) from None

        return read

    def _caller(self) -> Caller:
        return Caller(self.endpoint.rstrip("/"), self.token, self.deadline).starting()

    def _list(self, caller: Caller, ref: Ref) -> Listing:
        try:
            return list_repository(caller, ref)
        except HubError as error:
            raise error.located(ref.label) from None

    def _survey(self, caller: Caller, ref: Ref) -> HubSurvey:
        known = self.memory.survey(caller.endpoint, ref) if ref.commit is not None else None
        if known is None:
            known = read_survey(caller, self._list(caller, ref))
            self.memory.keep(caller.endpoint, known)
        if self.largest is not None and known.nbytes > self.largest:
            must, fix = f"a model has at most {self.largest:,} bytes here", "choose a smaller one"
            raise HubError(Problem(must, f"{known.nbytes:,}", ref.label, fix))
        return known


def _hub_ref(ref: Ref | str) -> Ref:
    ref = parse_ref(ref) if isinstance(ref, str) else ref
    if ref.scheme != "hub":
        must, fix = "the reference is one of the Hub", "write it like hub:owner/name"
        raise CheckpointError(Problem(must, f"{ref.scheme}:", "reference", fix))
    return ref

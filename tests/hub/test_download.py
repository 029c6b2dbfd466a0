"""Downloads: checked, resumed, complete or not there."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest
import torch

from merging_core.checkpoints.companions import COMPANIONS, companions_of
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CancelledError, HubAwayError, HubError
from merging_core.hub.download import folder_of
from tests.hub.conftest import Visit, files
from tests.hub.server import FakeHub

WEIGHTS = "model.safetensors"
LARGE = bytes(range(256)) * 4096


def large_files() -> dict[str, bytes]:
    """A checkpoint of a megabyte."""
    from safetensors.torch import save

    return {WEIGHTS: save({"w": torch.frombuffer(bytearray(LARGE), dtype=torch.uint8)}), "config.json": b"{}"}


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


@pytest.fixture
def large(fake: FakeHub, visit: Visit) -> Ref:
    """A resolved reference whose headers are known."""
    fake.add("ada/large", large_files())
    return visit().survey("hub:ada/large").ref


def test_a_download_is_there_once_and_knows_its_content(fake: FakeHub, visit: Visit) -> None:
    hub = visit()
    ref = hub.pin("hub:ada/digits")
    folder = hub.download(ref)
    assert {name: (folder / name).read_bytes() for name in files()} == files(0.5)
    assert leftovers(folder) == {*files(), "complete.json"}
    opened = hub.open(ref)
    assert opened.known_content == opened.compute_content() and opened.ref == ref
    before = len(fake.asked("/resolve/"))
    assert hub.download(ref) == folder and hub.missing_bytes(ref) == 0
    assert len(fake.asked("/resolve/")) == before


def test_only_files_of_a_checkpoint_are_taken(fake: FakeHub, visit: Visit) -> None:
    more = {
        "pytorch_model.bin": b"\x80",
        "modeling.py": b"import os",
        "tokenizer.json": b"{}",
        "merges.txt": b"x" * (COMPANIONS["merges.txt"] + 1),
        "sub/model.safetensors": b"",
        "additional_chat_templates/rag.jinja": b"{{ documents }}",
        "additional_chat_templates/rag.py": b"import os",
        "additional_chat_templates/more/rag.jinja": b"",
    }
    fake.add("ada/mixed", files() | more)
    hub = visit()
    folder = hub.download("hub:ada/mixed")
    assert leftovers(folder) == {*files(), "tokenizer.json", "additional_chat_templates", "complete.json"}
    taken = {*files(), "tokenizer.json", "rag.jinja"}
    assert {request.path.rpartition("/")[2] for request in fake.asked("/resolve/")} == taken
    assert [path.name for path in (folder / "additional_chat_templates").iterdir()] == ["rag.jinja"]
    beside = companions_of(hub.open(hub.pin("hub:ada/mixed")))
    assert beside == {"tokenizer.json": b"{}", "additional_chat_templates/rag.jinja": b"{{ documents }}"}
    assert hub.missing_bytes("hub:ada/mixed") == 0


def test_progress_goes_from_nothing_to_all_in_the_callers_thread(visit: Visit, large: Ref, fake: FakeHub) -> None:
    fake.fail("slow", "resolve", times=1, seconds=0.4)
    heard: list[tuple[float, str, int]] = []
    visit().download(large, lambda share, what: heard.append((share, what, threading.get_ident())))
    shares = [share for share, _, _ in heard]
    assert shares == sorted(shares) and all(0 <= share <= 1 for share in shares)
    assert {who for _, _, who in heard} <= {threading.get_ident()}


def test_a_cut_download_goes_on_from_where_it_was_cut(fake: FakeHub, visit: Visit, large: Ref) -> None:
    fake.fail("truncated", "resolve", times=2, match=WEIGHTS)
    before = len(fake.asked(WEIGHTS))
    folder = visit().download(large)
    assert (folder / WEIGHTS).read_bytes() == large_files()[WEIGHTS]
    size = len(large_files()[WEIGHTS])
    starts = [request.range for request in fake.asked(WEIGHTS)[before:]]
    assert starts == [None, f"bytes={size // 2}-", f"bytes={size // 2 + (size - size // 2) // 2}-"]


def test_a_connection_that_trickles_from_cut_to_cut_gives_up_its_place(fake: FakeHub, visit: Visit, large: Ref) -> None:
    fake.fail("truncated", "resolve", times=2, match=WEIGHTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("merging_core.hub.download._SLOW_SECONDS", 0.0)
        patch.setattr("merging_core.hub.download._LEAST_BYTES", 1 << 40)
        with pytest.raises(HubAwayError, match="an answer that was cut off"):
            visit().download(large)
    part = folder_of(visit().cache, large) / f"{WEIGHTS}.part"
    assert part.stat().st_size == len(large_files()[WEIGHTS]) // 2
    assert (visit().download(large) / WEIGHTS).read_bytes() == large_files()[WEIGHTS]


def test_a_part_that_a_process_left_is_gone_on_with(fake: FakeHub, visit: Visit, large: Ref) -> None:
    folder = folder_of(visit().cache, large)
    folder.mkdir(parents=True)
    (folder / f"{WEIGHTS}.part").write_bytes(large_files()[WEIGHTS][:1000])
    total = sum(map(len, large_files().values()))
    assert visit().missing_bytes(large) == total - 1000
    visit().download(large)
    assert fake.asked(WEIGHTS)[-1].range == "bytes=1000-"
    assert (folder / WEIGHTS).read_bytes() == large_files()[WEIGHTS]


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * (len(LARGE) + 5000)], ids=["wrong", "too long"])
def test_a_part_that_is_wrong_is_fetched_anew(fake: FakeHub, visit: Visit, large: Ref, left: bytes) -> None:
    folder = folder_of(visit().cache, large)
    folder.mkdir(parents=True)
    (folder / f"{WEIGHTS}.part").write_bytes(left)
    visit().download(large)
    assert fake.asked(WEIGHTS)[-1].range is None
    assert (folder / WEIGHTS).read_bytes() == large_files()[WEIGHTS]


def test_a_server_that_ignores_ranges_starts_the_file_again(fake: FakeHub, visit: Visit, large: Ref) -> None:
    folder = folder_of(visit().cache, large)
    folder.mkdir(parents=True)
    (folder / f"{WEIGHTS}.part").write_bytes(large_files()[WEIGHTS][:1000])
    fake.fail("norange", "resolve")
    visit().download(large)
    assert (folder / WEIGHTS).read_bytes() == large_files()[WEIGHTS]


@pytest.mark.parametrize(
    ("mode", "kind", "said"),
    [
        ("corrupt", HubError, "the file's sha256 begins with"),
        ("sizelie", HubError, "bytes, as the Hub lists it, but one of"),
        ("captive", HubError, "a web page came"),
        ("moved", HubError, "the Hub keeps the commit that was asked for"),
        ("404", HubError, "nothing of that name"),
        ("gated", HubError, "this gated model"),
        ("429", HubAwayError, "try again in 300 s"),
        ("500", HubAwayError, "an error of its own (500)"),
    ],
)
def test_what_is_not_the_file_never_has_its_name(
    fake: FakeHub, visit: Visit, large: Ref, mode: str, kind: type[HubError], said: str
) -> None:
    fake.fail(mode, "resolve", match=WEIGHTS, seconds=300)
    with pytest.raises(kind) as failed:
        visit().download(large)
    assert said in str(failed.value) and large.label in str(failed.value)
    folder = folder_of(visit().cache, large)
    assert leftovers(folder) <= {"config.json"}
    assert visit().open(large).known_content is None
    fake.heal()
    visit().download(large)
    assert visit().open(large).known_content is not None


def test_a_connection_that_is_always_cut_at_nothing_ends(fake: FakeHub, visit: Visit, large: Ref) -> None:
    folder = folder_of(visit().cache, large)
    folder.mkdir(parents=True)
    (folder / f"{WEIGHTS}.part").write_bytes(large_files()[WEIGHTS][:-1])
    fake.fail("truncated", "resolve", match=WEIGHTS)
    with pytest.raises(HubAwayError, match="an answer that was cut off"):
        visit().download(large)
    assert (folder / f"{WEIGHTS}.part").stat().st_size == len(large_files()[WEIGHTS]) - 1


def test_a_download_is_cancelled_while_the_hub_says_nothing(fake: FakeHub, visit: Visit, large: Ref) -> None:
    fake.fail("slow", "resolve", match=WEIGHTS, seconds=3600)
    before = len(fake.asked(WEIGHTS))
    with pytest.raises(CancelledError, match="what came is kept; start it again to go on"):
        visit(deadline=3600.0).download(large, cancelled=lambda: len(fake.asked(WEIGHTS)) > before)


def test_what_came_before_a_cancelled_download_is_kept(fake: FakeHub, visit: Visit, large: Ref) -> None:
    fake.fail("truncated", "resolve", times=1, match=WEIGHTS)
    fake.fail("slow", "resolve", times=1, match=WEIGHTS, seconds=3600)
    before = len(fake.asked(WEIGHTS))
    with pytest.raises(CancelledError):
        visit(deadline=3600.0).download(large, cancelled=lambda: len(fake.asked(WEIGHTS)) > before + 1)
    part = folder_of(visit().cache, large) / f"{WEIGHTS}.part"
    assert part.stat().st_size == len(large_files()[WEIGHTS]) // 2


def test_two_downloads_of_one_commit_share_the_files(fake: FakeHub, visit: Visit, large: Ref) -> None:
    before = len(fake.asked(WEIGHTS))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(visit().download(large))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [folder_of(visit().cache, large)] * 4
    assert len(fake.asked(WEIGHTS)) == before + 1


def test_a_full_disk_is_told_before_a_byte_is_asked_for(
    fake: FakeHub, visit: Visit, large: Ref, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(map(len, large_files().values()))
    usage = type("Usage", (), {"free": int(1.1 * size) - 1})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    before = len(fake.asked("/resolve/"))
    with pytest.raises(
        HubError, match=f"the disk has room for {int(1.1 * size):,} bytes, but {usage.free:,} free came"
    ):
        visit().download(large)
    assert len(fake.asked("/resolve/")) == before
    usage.free += 1
    visit().download(large)


def test_a_disk_that_fills_up_meanwhile_is_told(visit: Visit, large: Ref, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("merging_core.hub.download.os.fsync", full)
    with pytest.raises(HubError, match="the cache can be written, but a full disk came"):
        visit().download(large)
    monkeypatch.undo()


def test_a_cache_that_was_changed_is_not_taken_for_whole(visit: Visit, fake: FakeHub) -> None:
    hub = visit()
    ref = hub.pin("hub:ada/digits")
    folder = hub.download(ref)
    (folder / WEIGHTS).write_bytes(b"short")
    assert hub.missing_bytes(ref) == len(files(0.5)[WEIGHTS])
    hub.download(ref)
    assert (folder / WEIGHTS).read_bytes() == files(0.5)[WEIGHTS]
    (folder / "complete.json").write_text("[]")
    assert hub.open(ref).known_content is None

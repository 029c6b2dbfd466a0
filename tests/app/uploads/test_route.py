"""Uploading over the wire: what is taken, what is refused and in which words, and that nothing half is left."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from starlette.applications import Starlette

from app.uploads.route import Patience, upload_routes
from app.uploads.shelf import UploadLimits, Uploads
from app.visitors import Cookie
from merging_core.checkpoints.content import content_digest
from tests.app.pretend import PretendServer
from tests.app.test_jobs import until
from tests.app.wire import Browser, sentences
from tests.checkpoints.build import entry, packed, two_leaves

CONFIG = b'{"architectures": ["Tiny"]}'


@pytest.fixture(autouse=True)
def nothing_half(server: PretendServer) -> Iterator[None]:
    """Whatever a test did, nothing that was arriving is left, and the next test finds no upload."""
    yield
    root = server.app.uploads.root
    assert [path.name for path in root.iterdir() if path.name.startswith(".arriving")] == []
    uploads: Uploads = server.app.uploads
    for visitor in {who for kept in uploads._kept.values() for who in kept.owners}:
        for upload in uploads.of(visitor):
            uploads.delete(visitor, upload.ref)
    assert [path.name for path in root.iterdir()] == [".lock"]


def put(browser: Browser, body: bytes, path: str = "checkpoint", **query: Any) -> dict[str, Any]:
    query = {"name": "mine.safetensors", **query}
    answer = browser.client.put(f"/basin-upload/{path}?{urlencode(query)}", content=body)
    found: dict[str, Any] = {**answer.json(), "status": answer.status_code}
    return found


def refused(browser: Browser, body: bytes, path: str = "checkpoint", **query: Any) -> str:
    answer = put(browser, body, path, **query)
    assert answer["status"] == 422, answer
    return " ".join(sentences(answer))


def archive(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return made.getvalue()


# --- what is taken ---------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_named_by_its_content_and_lies_there_whole(ann: Browser, server: PretendServer) -> None:
    answer = put(ann, two_leaves(), name="../My digits.safetensors")
    assert (answer["status"], answer["ok"]) == (200, True), answer
    upload = answer["upload"]
    digests = {"a": hashlib.sha256(bytes(8)).digest(), "b": hashlib.sha256(bytes(2)).digest()}
    opened = server.app.uploads.checkpoints.open
    leaves = opened(parsed(upload["ref"])).leaves.values()
    content = content_digest(leaves, digests.__getitem__)
    assert upload["ref"] == f"upload:{content[:32]}/My-digits"
    assert (upload["leaves"], upload["parameters"], upload["config"]) == (2, 3, False)
    folder = server.app.uploads.root / content[:32]
    assert (folder / "model.safetensors").read_bytes() == two_leaves()
    assert opened(parsed(upload["ref"])).known_content == content
    assert ann.call("uploads_list")["uploads"] == [upload]


def parsed(text: str) -> Any:
    from merging_core.checkpoints.ref import parse_ref

    return parse_ref(text)


def test_a_configuration_comes_before_the_weights_and_makes_another_model(ann: Browser, server: PretendServer) -> None:
    plain = put(ann, two_leaves())["upload"]
    told = put(ann, CONFIG + two_leaves(), config=len(CONFIG))["upload"]
    assert told["config"] and told["ref"] != plain["ref"]
    assert server.app.uploads.checkpoints.open(parsed(told["ref"])).config == json.loads(CONFIG)


def test_only_who_uploaded_lists_it_and_two_who_did_share_it(ann: Browser, bob: Browser, server: PretendServer) -> None:
    ref = put(ann, two_leaves())["upload"]["ref"]
    assert bob.call("uploads_list")["uploads"] == []
    assert "one of yours" in sentences(bob.call("upload_delete", {"ref": ref}))[0]
    theirs = put(bob, two_leaves(), name="other.safetensors")["upload"]
    assert theirs["ref"].partition("/")[0] == ref.partition("/")[0] and theirs["name"] == "other"
    groups = {row["ref"]: row["group"] for row in ann.call("models_list")["checkpoints"]}
    assert groups[ref] == "Your uploads" and theirs["ref"] not in groups
    assert ann.call("upload_delete", {"ref": ref})["uploads"] == []
    assert server.app.uploads.checkpoints.open(parsed(ref)).leaves
    assert bob.call("upload_delete", {"ref": theirs["ref"]})["uploads"] == []
    with pytest.raises(Exception, match="uploaded on another server, or has been deleted"):
        server.app.uploads.checkpoints.open(parsed(ref))


def test_the_start_alone_says_whether_the_rest_would_be_taken(ann: Browser) -> None:
    whole = two_leaves()
    start = whole[: 8 + int.from_bytes(whole[:8], "little")]
    assert put(ann, start, "checkpoint/start", size=len(whole))["form"] == "checkpoint"
    assert "truncated" in refused(ann, start, "checkpoint/start", size=len(whole) - 1)
    assert "comes whole" in refused(ann, start[:-1], "checkpoint/start", size=len(whole))
    assert "comes whole" in refused(ann, b"", "checkpoint/start", size=len(whole))
    assert put(ann, CONFIG + start, "checkpoint/start", size=len(whole), config=len(CONFIG))["ok"]
    assert ann.call("uploads_list")["uploads"] == []


def test_data_are_known_by_their_bytes(ann: Browser, server: PretendServer) -> None:
    table = "path,label\na.png,über\n".encode()
    taken = put(ann, table, "data", name="mine.txt")["upload"]
    assert (taken["form"], taken["ref"]) == ("csv", f"upload:{hashlib.sha256(table).hexdigest()}/mine")
    assert server.app.uploads.data(taken["ref"]).read_bytes() == table
    parquet = b"PAR1" + bytes(8) + (8).to_bytes(4, "little") + b"PAR1"
    assert put(ann, parquet, "data", name="x.csv")["upload"]["form"] == "parquet"
    pictures = archive({"pets/cat/1.png": b"1", "pets/dog/2.png": b"22", "pets/notes.md": b"-", "pets/.DS_Store": b"-"})
    upload = put(ann, pictures, "data", name="pets.zip")["upload"]
    assert (upload["form"], upload["files"], upload["classes"]) == ("pictures", 2, 2)
    folder = server.app.uploads.data(upload["ref"].partition("/")[0])
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {"cat/1.png", "dog/2.png"}
    assert not any(row["ref"].startswith("upload:") for row in ann.call("models_list")["checkpoints"])


# --- what is refused -------------------------------------------------------------------------------------------------

HEADER = {"a": entry("F32", [2], 0, 8)}
HOSTILE = {
    "a pickle": (b"\x80\x02}q\x00." + bytes(40), "only safetensors files are accepted, but a pickle"),
    "a zip of pickles": (b"PK\x03\x04" + bytes(60), "a zip archive"),
    "a GGUF file": (b"GGUF" + bytes(60), "a GGUF file"),
    "a web page": (b"<!doctype html><html>" + bytes(60), "a web page"),
    "an LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
    "nothing": (b"", "at least 10 bytes"),
    "seven bytes": (bytes(7), "at least 10 bytes"),
    "a length beyond all": ((2**64 - 1).to_bytes(8, "little") + bytes(60), "the header length is at most"),
    "a length beyond the file": ((500).to_bytes(8, "little") + b"{" + bytes(60), "it is truncated"),
    "one byte less": (packed(HEADER, bytes(7)), "it is truncated"),
    "one byte more": (packed(HEADER, bytes(9)), "extra bytes"),
    "bad UTF-8": (packed(b'{"\xff":1}'), "UTF-8"),
    "a key twice": (packed('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},' * 1 + '"a":1}'), "each key"),
    "deep JSON": (packed("[" * 200), "“{”"),
    "an overlap": (packed({**HEADER, "b": entry("F32", [1], 4, 8)}, bytes(8)), "overlap"),
    "a wrong shape": (packed({"a": entry("F32", [3], 0, 8)}, bytes(8)), "takes 12 bytes"),
    "a hostile name": (packed({"<img src=x>": entry("F32", [2], 0, 8)}, bytes(8)), "plain characters"),
    "an unknown dtype": (packed({"a": entry("X9", [2], 0, 8)}, bytes(8)), "the dtype is one"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_checkpoint_is_named_for_what_it_is(ann: Browser, what: str) -> None:
    body, sentence = HOSTILE[what]
    said = refused(ann, body)
    assert sentence in said and "Traceback" not in said
    assert ann.call("uploads_list")["uploads"] == []


def test_a_configuration_that_is_none_is_refused_before_the_weights(ann: Browser) -> None:
    for config, sentence in ((b"[1]", "one JSON object"), (b'{"a":1,"a":2}', "each key"), (b"{" * 40, "deep")):
        assert sentence in refused(ann, config + two_leaves(), config=len(config))


def test_data_that_are_none_are_named(ann: Browser) -> None:
    for body, sentence in (
        (b"\x80\x04", "a pickle"),
        (b"<html>", "a web page"),
        (b"GGUF", "a GGUF"),
        (b"\xff\xfe\x00", "something else"),
        (b"one column\n1\n", "names its columns"),
        (b"a,b\n" + b"x" * 5000 + b"\0", "a byte of zeros"),
        (b"a,b\n" + b"x" * 5000 + b"\xff", "not"),
        (b"PAR1" + bytes(40), "list of columns"),
        (b"PK\x03\x04" + bytes(40), "a damaged one"),
    ):
        assert sentence in refused(ann, body, "data", name="x")


def test_a_request_says_all_that_is_wrong_with_it(ann: Browser) -> None:
    said = refused(ann, b"x", "model", name="", config="-1")
    assert "a checkpoint or data" in said and "1 to 255 characters" in said and "config is a whole number" in said
    assert "part of the upload" in refused(ann, b"x", config=2)
    answer = ann.client.put("/basin-upload/checkpoint?name=x", content=iter([b"x"]))
    assert "says how long it is" in sentences(answer.json())[0]


def test_a_stranger_or_another_site_uploads_nothing(ann: Browser, server: PretendServer) -> None:
    import httpx

    answer = httpx.put(f"{server.url.rstrip('/')}/basin-upload/checkpoint?name=x", content=two_leaves())
    assert answer.status_code == 403 and "a visitor of this page" in sentences(answer.json())[0]
    headers = {"sec-fetch-site": "cross-site"}
    answer = ann.client.put("/basin-upload/checkpoint?name=x", content=two_leaves(), headers=headers)
    assert answer.status_code == 403 and "Basin's own page" in sentences(answer.json())[0]
    assert ann.client.post("/gradio_api/upload", content=b"x").status_code == 404


def test_what_is_too_large_is_refused_before_it_is_read(ann: Browser, server: PretendServer) -> None:
    most = server.app.uploads.limits.file
    answer = put(ann, b"x", "checkpoint/start", size=most + 1)
    assert answer["status"] == 413 and "an upload has at most 4.0 GB" in sentences(answer)[0]
    with connection(ann, most + 1) as wire:
        assert b" 413 " in wire.recv(4096).splitlines()[0]


def connection(browser: Browser, length: int) -> socket.socket:
    """Begin an upload of so many bytes by hand, and send none of them yet."""
    where = urlsplit(str(browser.client.base_url))
    wire = socket.create_connection((where.hostname or "", where.port or 80), timeout=120)
    cookies = "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items())
    lines = [
        "PUT /basin-upload/checkpoint?name=cut.safetensors HTTP/1.1",
        f"host: {where.netloc}",
        f"cookie: {cookies}",
        f"content-length: {length}",
    ]
    wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    return wire


def test_an_upload_that_is_cut_off_leaves_nothing(ann: Browser, server: PretendServer) -> None:
    whole = packed({"a": entry("F32", [100_000], 0, 400_000)}, bytes(400_000))
    wire = connection(ann, len(whole))
    wire.sendall(whole[:200_000])
    arriving = until(lambda: list(server.app.uploads.root.glob(".arriving-*/model.safetensors")))[0]
    assert arriving.parent.parent == server.app.uploads.root
    wire.close()
    until(lambda: not list(server.app.uploads.root.glob(".arriving-*")))
    assert ann.call("uploads_list")["uploads"] == []


def test_an_upload_that_brings_nothing_for_too_long_is_ended(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, UploadLimits(1000, 1000, 1000))
    cookie = Cookie(b"0123456789abcdef")
    routes = upload_routes(uploads, cookie, Patience(silence=0.05))
    sent: list[Any] = []
    coming = [{"type": "http.request", "body": two_leaves()[:20], "more_body": True}]

    async def receive() -> Any:
        return coming.pop() if coming else await asyncio.Event().wait()

    async def send(event: Any) -> None:
        sent.append(event)

    who = f"{cookie.name}={cookie.value('0' * 32)}"
    scope = {
        "type": "http",
        "method": "PUT",
        "path": "/basin-upload/checkpoint",
        "query_string": b"name=slow.safetensors",
        "headers": [(b"cookie", who.encode()), (b"content-length", b"%d" % len(two_leaves()))],
    }
    asyncio.run(Starlette(routes=routes)(scope, receive, send))
    assert sent[0]["status"] == 422 and b"the next bytes come within 0.05 seconds" in sent[1]["body"]
    assert {path.name for path in uploads.root.iterdir()} == {".lock"}
    uploads.close()

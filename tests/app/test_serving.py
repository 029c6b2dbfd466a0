"""Our files: found by version, kept for ever, and nothing else is found."""

from __future__ import annotations

from pathlib import Path

import brotli
import httpx
import pytest
from starlette.applications import Starlette

from app.serving import BrowserFiles


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def browser(files: BrowserFiles) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(Starlette(routes=[files.route()])), base_url="http://b.test")


@pytest.fixture
def files(tmp_path: Path) -> BrowserFiles:
    (tmp_path / "a.js").write_text("export const a = 1;")
    (tmp_path / "large.js").write_text("x = 1;" * 60_000)
    return BrowserFiles({"a.js": tmp_path / "a.js", "large.js": tmp_path / "large.js"})


def test_the_version_follows_the_contents(tmp_path: Path, files: BrowserFiles) -> None:
    again = BrowserFiles(dict(files.files))
    (tmp_path / "a.js").write_text("export const a = 2;")
    changed = BrowserFiles(dict(files.files))
    assert again.version == files.version != changed.version


def test_the_studio_and_plotly_are_among_them() -> None:
    names = BrowserFiles.collect().files
    assert {"studio.js", "studio.css", "palette.json", "plotly.min.js"} <= set(names)


@pytest.mark.anyio
async def test_a_file_is_kept_for_ever_under_its_version(files: BrowserFiles) -> None:
    async with browser(files) as client:
        answer = await client.get(f"/{files.prefix}/a.js")
    assert answer.text == "export const a = 1;"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path", ["000000000000/a.js", "{v}/b.js", "{v}/%2e%2e/app.py", "{v}/..%2f..%2fmain.py", "{v}/"]
)
async def test_another_version_or_name_is_not_found(files: BrowserFiles, path: str) -> None:
    async with browser(files) as client:
        answer = await client.get(f"/basin/{path.format(v=files.version)}")
    assert answer.status_code in (307, 404)
    assert "immutable" not in answer.headers.get("cache-control", "")


@pytest.mark.anyio
async def test_a_large_file_is_sent_plain_until_it_is_packed(files: BrowserFiles) -> None:
    address = f"/{files.prefix}/large.js"
    async with browser(files) as client:
        plain = await client.get(address, headers={"accept-encoding": "br"})
        files.pack().join()
        packed = await client.get(address, headers={"accept-encoding": "br"})
        refused = await client.get(address, headers={"accept-encoding": "gzip"})
    assert plain.headers["content-encoding"] == "identity"
    assert packed.headers["content-encoding"] == "br"
    assert refused.headers["content-encoding"] == "identity"
    whole = (files.files["large.js"]).read_bytes()
    assert plain.content == refused.content == packed.content == whole
    assert int(packed.headers["content-length"]) == len(brotli.compress(whole, quality=5)) < len(whole) / 100

"""The visitor cookie: made once, signed, never believed when forged; and the limits of a message."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.visitors import LARGEST_MESSAGE, SCOPE_KEY, Cookie, VisitorMiddleware

SECRET = b"a secret of the tests"


def application(cookie: Cookie) -> Starlette:
    async def who(request: Request) -> JSONResponse:
        body = await request.body()
        return JSONResponse({"visitor": request.scope[SCOPE_KEY], "bytes": len(body)})

    paths = ("/", "/file.js", "/gradio_api/component_server/")
    routes = [Route(path, who, methods=["GET", "POST"]) for path in paths]
    return Starlette(routes=routes, middleware=[Middleware(VisitorMiddleware, cookie=cookie)])


def browser(cookie: Cookie, base: str = "http://basin.test") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=application(cookie)), base_url=base)


PAGE = {"accept": "text/html,*/*"}
MESSAGES = "/gradio_api/component_server/"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


async def test_a_page_sets_the_cookie_and_messages_keep_the_visitor() -> None:
    async with browser(Cookie(SECRET)) as client:
        page = await client.get("/", headers=PAGE)
        message = await client.post(MESSAGES, json={})
    assert page.json()["visitor"] == message.json()["visitor"]
    assert "set-cookie" not in message.headers
    rules = page.headers["set-cookie"]
    assert "HttpOnly" in rules and "SameSite=Lax" in rules and "Max-Age=31536000" in rules and "Secure" not in rules


async def test_two_browsers_are_two_visitors() -> None:
    cookie = Cookie(SECRET)
    async with browser(cookie) as ann, browser(cookie) as bob:
        first, second = await ann.get("/", headers=PAGE), await bob.get("/", headers=PAGE)
    assert first.json()["visitor"] != second.json()["visitor"]


@pytest.mark.parametrize("forge", ["other secret", "changed id", "no mark", "junk", "empty"])
async def test_a_forged_cookie_makes_somebody_new(forge: str) -> None:
    cookie = Cookie(SECRET)
    victim = cookie.new()
    value = {
        "other secret": Cookie(b"another secret entirely").value(victim),
        "changed id": cookie.value(cookie.new()).replace("v1.", "v1.", 1)[:3]
        + victim
        + cookie.value(cookie.new())[35:],
        "no mark": f"v1.{victim}.",
        "junk": "\x22;;=" + "x" * 500,
        "empty": "",
    }[forge]
    async with browser(cookie) as client:
        answer = await client.post(MESSAGES, json={}, headers={"cookie": f"{cookie.name}={value}"})
    assert answer.status_code == 200
    assert answer.json()["visitor"] != victim
    assert cookie.name in answer.headers["set-cookie"]


async def test_a_restart_with_the_same_secret_knows_the_visitor() -> None:
    first = Cookie(SECRET)
    visitor = first.new()
    header = f"other=1; {first.name}={first.value(visitor)}"
    assert Cookie(SECRET).read(header) == visitor
    assert Cookie(b"a new secret was made").read(header) is None


async def test_inside_another_sites_frame_the_cookie_is_secure_and_kept_per_site() -> None:
    async with browser(Cookie(SECRET, framed=True)) as client:
        rules = (await client.get("/", headers=PAGE)).headers["set-cookie"]
    assert "SameSite=None; Secure; Partitioned" in rules


async def test_over_https_the_cookie_is_secure() -> None:
    async with browser(Cookie(SECRET), "https://basin.test") as client:
        assert "; Secure" in (await client.get("/", headers=PAGE)).headers["set-cookie"]


async def test_files_set_no_cookie_and_every_answer_has_the_headers() -> None:
    async with browser(Cookie(SECRET)) as client:
        answer = await client.get("/file.js", headers={"accept": "*/*"})
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "x-frame-options" not in answer.headers


async def test_a_message_of_the_largest_size_arrives_whole_and_a_larger_one_gets_a_sentence() -> None:
    async with browser(Cookie(SECRET)) as client:
        largest = await client.post(MESSAGES, content=b"x" * LARGEST_MESSAGE)
        larger = await client.post(MESSAGES, content=b"x" * (LARGEST_MESSAGE + 1))
    assert largest.json()["bytes"] == LARGEST_MESSAGE
    assert larger.status_code == 413
    assert larger.json()["problems"][0]["sentence"].startswith("a message has at most 65536 bytes")


async def test_a_message_without_a_length_is_bounded_too() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1024

    async with browser(Cookie(SECRET)) as client:
        answer = await client.post(MESSAGES, content=pieces())
    assert answer.status_code == 413

"""What a link shows before it is opened: title, sentence and picture in the head of the page, for social cards.

Gradio writes its own tags into every page; they give way to Basin's. The picture of a shared result is drawn once, on
the server, by `app.charts.pictures`.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.routing import Route

from app.charts import accuracy as accuracy_chart
from app.charts.pictures import render
from app.library.ids import ADDRESS
from app.library.pages import summary
from app.library.store import LibraryStore
from app.studio.memo import Memo

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CardMiddleware", "Cards"]

_SIZE = (1200, 630)
_DOTS = 2
"""Dots a pixel: cards are shown small, so what is written on them is drawn large."""
_TITLE, _SENTENCE = "Basin", "See the merge before you make it: model merging with live accuracy, paths and layers."
_OTHERS = re.compile(rb'<meta\s[^>]*?(?:property|name)="(?:og|twitter):[^>]*>\s*')
_HEAD_END = re.compile(rb"</head>", re.IGNORECASE)
_PICTURES = 64


class Cards:
    """Titles, sentences and pictures of shared results."""

    def __init__(self, store: LibraryStore) -> None:
        self._store = store
        self._pictures: Memo[bytes] = Memo(_PICTURES)

    def route(self) -> Route:
        """Return the route of the pictures, to put before Gradio's own."""

        async def serve(request: Request) -> Response:
            address = request.path_params["address"]
            picture = await run_in_threadpool(self.picture, address)
            if picture is None:
                return Response("There is no such picture.", 404, media_type="text/plain")
            # A result at an address does not change, but its owner may stop sharing it.
            return Response(picture, media_type="image/png", headers={"cache-control": "public, max-age=86400"})

        return Route("/basin-card/{address}.png", serve, methods=["GET", "HEAD"])

    def picture(self, address: str) -> bytes | None:
        """Return the PNG of a shared result, 1200 × 630 pixels, or nothing if the address leads nowhere."""
        shared = self._store.shared(address) if ADDRESS.fullmatch(address) else None
        if shared is None:
            return None
        result = shared.result
        found = summary(result)[0].removeprefix(f"{result.label}: ")
        title = f"{result.label}\n{found}, validation, n {result.accuracy['n']}"
        width, height = (pixels // _DOTS for pixels in _SIZE)
        figure = accuracy_chart.figure_of(result.accuracy)

        def draw() -> bytes:
            return render(figure, form="png", theme="light", width=width, height=height, scale=_DOTS, title=title)

        return self._pictures.get(address, draw)

    def tags(self, address: str, place: str) -> str:
        """Return the tags of a page; `place` is where Basin is served, such as `https://example.org/basin`."""
        shared = self._store.shared(address) if ADDRESS.fullmatch(address) else None
        title, sentence = summary(shared.result) if shared is not None else (_TITLE, _SENTENCE)
        tags = {"og:type": "website", "og:site_name": "Basin", "og:title": title, "og:description": sentence}
        named = {"twitter:title": title, "twitter:description": sentence, "twitter:card": "summary"}
        if shared is not None:
            picture = f"{place}/basin-card/{address}.png"
            tags |= {"og:url": f"{place}/?r={address}", "og:image": picture, "og:image:type": "image/png"}
            tags |= {"og:image:width": str(_SIZE[0]), "og:image:height": str(_SIZE[1]), "og:image:alt": title}
            named |= {"twitter:card": "summary_large_image", "twitter:image": picture, "twitter:image:alt": title}
        lines = [f'<meta property="{name}" content="{html.escape(text)}" />' for name, text in tags.items()]
        lines += [f'<meta name="{name}" content="{html.escape(text)}" />' for name, text in named.items()]
        lines += [f'<meta name="description" content="{html.escape(sentence)}" />']
        return "\n".join(lines) + "\n"


class CardMiddleware:
    """Puts the tags into the page's head, in place of Gradio's."""

    def __init__(self, app: ASGIApp, cards: Cards, root_path: str = "") -> None:
        self._app = app
        self._cards = cards
        self._root_path = root_path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "GET" or not self._is_page(scope["path"]):
            await self._app(scope, receive, send)
            return
        started: list[Message] = []
        body = bytearray()

        async def rewrite(event: Message) -> None:
            if event["type"] == "http.response.start" and b"text/html" in dict(event["headers"]).get(
                b"content-type", b""
            ):
                started.append(event)
                return
            if not started or event["type"] != "http.response.body":
                await send(event)
                return
            body.extend(event.get("body", b""))
            if event.get("more_body", False):
                return
            content = await run_in_threadpool(self._with_tags, bytes(body), scope)
            MutableHeaders(raw=started[0]["headers"])["content-length"] = str(len(content))
            await send(started[0])
            await send({"type": "http.response.body", "body": content})

        await self._app(scope, receive, rewrite)

    def _is_page(self, path: str) -> bool:
        return path in ("", "/", self._root_path, f"{self._root_path}/")

    def _with_tags(self, content: bytes, scope: Scope) -> bytes:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        tags = self._cards.tags(query.get("r", [""])[0], self._place(scope)).encode()
        return _HEAD_END.sub(lambda found: tags + found.group(), _OTHERS.sub(b"", content), count=1)

    def _place(self, scope: Scope) -> str:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._root_path.startswith(("http://", "https://")):
            return self._root_path
        scheme = headers.get(b"x-forwarded-proto", str(scope.get("scheme", "http"))).partition(",")[0].strip()
        host = headers.get(b"x-forwarded-host", headers.get(b"host", "")).partition(",")[0].strip()
        return f"{scheme}://{host}{self._root_path}"

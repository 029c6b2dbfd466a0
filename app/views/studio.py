"""The studio: one `gr.HTML` whose page is drawn by `app/browser/studio.js`.

The page calls the functions below by plain POST, outside Gradio's queue; `app.live` bounds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr
import orjson
from fastapi import Request, Response

from app.visitors import SCOPE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.serving import BrowserFiles
    from app.studio.service import Studio

__all__ = ["build"]

_LOAD = """
const base = new URL("{prefix}/", document.baseURI).href;
try {{
  const page = await import(base + "studio.js");
  await page.mount(element, server, base);
}} catch (error) {{
  console.error(error);
  element.textContent = "The studio could not be loaded. Reload the page; the server may have been stopped or updated.";
}}
"""


def build(studio: Studio, files: BrowserFiles) -> gr.HTML:
    """Mount the studio; `server.<name>(message)` in the page calls the functions of this name."""
    return gr.HTML(
        html_template='<div class="basin-loading" role="status">Basin is loading…</div>',
        js_on_load=_bootstrap(files.prefix),
        apply_default_css=False,
        elem_id="basin-studio",
        server_functions=_server_functions(studio),
    )


def _bootstrap(prefix: str) -> str:
    body = _LOAD.format(prefix=prefix)
    return f"(async () => {{{body}}})();"


def _server_functions(studio: Studio) -> list[Callable[..., Any]]:
    """Wrap the studio's functions: find the visitor, call, answer with JSON written once."""

    def hello(message: Any, request: gr.Request) -> Response:
        return _json(studio.hello(_visitor(request), message))

    def edit(message: Any, request: gr.Request) -> Response:
        return _json(studio.edit(_visitor(request), message))

    async def live(message: Any, request: gr.Request) -> Response:
        return _json(await studio.live(_visitor(request), message))

    async def score_on_test(message: Any, request: gr.Request) -> Response:
        return _json(await studio.score_on_test(_visitor(request), message))

    def share(message: Any, request: gr.Request) -> Response:
        return _json(studio.share(_visitor(request), message))

    def compare(message: Any, request: gr.Request) -> Response:
        return _json(studio.compare(_visitor(request), message))

    functions: list[Callable[..., Any]] = [hello, edit, live, score_on_test, share, compare]
    for function in functions:
        # Gradio reads annotations to know where the request goes, and cannot resolve the ones of this closure.
        function.__annotations__ = {"message": Any, "request": gr.Request}
    return functions


def _visitor(request: gr.Request | Request) -> str:
    """Return the id that the middleware found in the signed cookie; Gradio hands over either kind of request."""
    plain = request.request if isinstance(request, gr.Request) else request
    if plain is None:
        raise RuntimeError("a server function was called without a request")
    visitor: str = plain.scope[SCOPE_KEY]
    return visitor


def _json(answer: dict[str, Any]) -> Response:
    """Write an answer; numbers that are not finite become null."""
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")

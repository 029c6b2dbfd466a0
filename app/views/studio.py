"""The studio: one `gr.HTML` whose page is drawn by `app/browser/studio.js`.

The page calls the functions below by plain POST, outside Gradio's queue; `app.live` bounds them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr
import orjson
from fastapi import Request, Response

from app.callers import Caller, Callers, called_by
from app.notices import problems_answer
from app.views.skeleton import skeleton
from merging_core.errors import Problem

if TYPE_CHECKING:
    from app.serving import BrowserFiles

__all__ = ["ServerFunction", "build"]

_LOAD = """
const base = new URL("{prefix}/", document.baseURI).href;
try {{
  const page = await import(base + "studio.js");
  await page.mount(element, server, {names}, base);
}} catch (error) {{
  console.error(error);
  element.textContent = "The studio could not be loaded. Reload the page; the server may have been stopped or updated.";
}}
"""


ServerFunction = Callable[[str, object], Any]
"""(visitor, message) -> answer, or a coroutine of one; it never raises."""


def build(functions: Mapping[str, ServerFunction], files: BrowserFiles, callers: Callers) -> gr.HTML:
    """Mount the studio; `server.<name>(message)` in the page calls the function of this name."""
    return gr.HTML(
        html_template=skeleton(),
        js_on_load=_bootstrap(files.prefix, functions),
        apply_default_css=False,
        elem_id="basin-studio",
        server_functions=[_server_function(name, function, callers) for name, function in functions.items()],
    )


def _bootstrap(prefix: str, names: Iterable[str]) -> str:
    body = _LOAD.format(prefix=prefix, names=json.dumps(list(names)))
    return f"(async () => {{{body}}})();"


def _server_function(name: str, function: ServerFunction, callers: Callers) -> Callable[..., Any]:
    """Wrap a function of a service: find the caller, call, answer with JSON written once."""
    wrapped: Callable[..., Any]
    if inspect.iscoroutinefunction(function):

        async def answer_in_turn(message: Any, request: gr.Request) -> Response:
            if not _is_text(message):
                return _json(_no_text())
            who = _caller(callers, request)
            with called_by(who):
                return _json(await function(who.visitor, message))

        wrapped = answer_in_turn
    else:

        def answer(message: Any, request: gr.Request) -> Response:
            if not _is_text(message):
                return _json(_no_text())
            who = _caller(callers, request)
            with called_by(who):
                return _json(function(who.visitor, message))

        wrapped = answer
    wrapped.__name__ = name
    # Gradio reads annotations to know where the request goes, and cannot resolve the ones of this closure.
    wrapped.__annotations__ = {"message": Any, "request": gr.Request}
    return wrapped


def _caller(callers: Callers, request: gr.Request | Request) -> Caller:
    """Return who sent a request; Gradio hands over either kind of it."""
    plain = request.request if isinstance(request, gr.Request) else request
    if plain is None:
        raise RuntimeError("a server function was called without a request")
    return callers.of(plain)


def _is_text(message: object) -> bool:
    """Say whether a message can be written again: JSON can spell half a character, which no answer could repeat."""
    try:
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_text() -> dict[str, Any]:
    return problems_answer([Problem("a message is Unicode text", "half a character", "message")])


def _json(answer: dict[str, Any]) -> Response:
    """Write an answer; numbers that are not finite become null."""
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")

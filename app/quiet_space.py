"""What Gradio does of its own accord on a Space, and Basin does not want.

Opened in a tab of its own, its page asks huggingface.co about the Space and fonts.googleapis.com for fonts, to draw a
header over ours; and its server starts a thread that waits for new code, which dies with a traceback where the package
`spaces` is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio import http_server

__all__ = ["without_header", "without_reloading"]


def without_header(page: gr.Blocks) -> None:
    """Let the page not know which Space it is on, so that it asks no other host; signing in reads the environment."""
    page.space_id = None


@contextmanager
def without_reloading() -> Iterator[None]:
    """Launch as anywhere else: code that changes on a Space is read when it starts again."""
    server: Any = http_server
    get_space = server.get_space
    server.get_space = lambda: None
    try:
        yield
    finally:
        server.get_space = get_space

"""Signing in with Hugging Face, where a Space offers it: Gradio's routes, and what their session says.

Gradio answers `login/huggingface`, `login/callback` and `logout`, and keeps what the Hub tells of a visitor in a signed
cookie of that visitor's browser, which no script can read; nothing of it is kept on the server.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import RedirectResponse

from app.notices import redact

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["SIGN_IN", "SignInMiddleware", "signed_in"]

SIGN_IN = "login/huggingface"
"""The address, relative to the page, at which signing in begins."""
_FAILED = "/#not-signed-in"
_LONGEST = 4096
_LONGEST_NAME = 96
_LOG = logging.getLogger("basin")


def signed_in(session: object, now: float | None = None) -> tuple[str, str] | None:
    """Return token and account name of a session that has a token which still holds; else None.

    >>> told = {"access_token": "hf_oauth_x", "expires_at": 60, "userinfo": {"preferred_username": "ann"}}
    >>> signed_in({"oauth_info": told}, now=59), signed_in({"oauth_info": told}, now=60)
    (('hf_oauth_x', 'ann'), None)
    """
    told = session.get("oauth_info") if isinstance(session, Mapping) else None
    if not isinstance(told, Mapping):
        return None
    token, until, about = told.get("access_token"), told.get("expires_at"), told.get("userinfo")
    if not isinstance(token, str) or not 0 < len(token) <= _LONGEST or not token.isascii() or not token.isprintable():
        return None
    if not isinstance(until, int | float) or until <= (time.time() if now is None else now):
        return None
    name = about.get("preferred_username") if isinstance(about, Mapping) else None
    return token, name if isinstance(name, str) and len(name) <= _LONGEST_NAME else ""


class SignInMiddleware:
    """Leads back to the page where signing in fails, such as when a visitor declines; the page says so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or not scope["path"].startswith("/login/"):
            await self._app(scope, receive, send)
            return
        begun = False

        async def note(event: Message) -> None:
            nonlocal begun
            begun = True
            await send(event)

        try:
            await self._app(scope, receive, note)
        except Exception as error:
            if begun:
                raise
            _LOG.warning("signing in failed: %s", redact(_last_line(error)))
            _forget_attempts(scope.get("session"))
            await RedirectResponse(_FAILED, 303)(scope, receive, send)


def _forget_attempts(session: Any) -> None:
    """Take what unfinished attempts left out of a session, so that its cookie does not grow."""
    for key in [key for key in session or () if str(key).startswith("_state_huggingface")]:
        session.pop(key)


def _last_line(error: Exception) -> str:
    return "".join(traceback.format_exception_only(error)).strip().replace("\n", " ")[:300]

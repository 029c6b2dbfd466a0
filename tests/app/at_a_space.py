"""A running Space whose visitors sign in with a provider that stands in for Hugging Face, and such a visitor."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio.oauth
import httpx
import pytest

from tests.app.openid import CLIENT, CLIENT_SECRET, OpenId
from tests.app.pretend import PretendServer
from tests.app.wire import WAIT

__all__ = ["OFFERED", "SpaceVisitor", "space_server"]

OFFERED = {
    "SYSTEM": "spaces",
    "SPACE_ID": "ann/basin",
    "OAUTH_CLIENT_ID": CLIENT,
    "OAUTH_CLIENT_SECRET": CLIENT_SECRET,
    "OAUTH_SCOPES": "openid profile read-repos",
    "OPENID_PROVIDER_URL": "https://huggingface.co",
}


def space_server(folder: Path, provider: OpenId, patch: pytest.MonkeyPatch, **changes: Any) -> PretendServer:
    """Start a server that offers to sign in; Gradio reads what it needs for that when it is imported."""
    patch.setattr(gradio.oauth, "get_space", lambda: OFFERED["SPACE_ID"])
    for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES"):
        patch.setattr(gradio.oauth, name, OFFERED[name])
    patch.setattr(gradio.oauth, "OPENID_PROVIDER_URL", provider.url)
    return PretendServer(folder, space=True, sign_in=True, **changes)


class SpaceVisitor:
    """A browser at a Space: it keeps secure cookies, which plain HTTP would lose, and follows redirects by itself."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.cookies: dict[str, dict[str, str]] = {}
        self.rules: dict[str, str] = {}
        """What each cookie was set with."""
        self.seen: list[str] = []
        """Every body, and every address, that this browser was given."""
        self.client = httpx.Client(timeout=WAIT)
        self.get("/", accept="text/html")
        self.component = next(one["id"] for one in self.get("/config").json()["components"] if one["type"] == "html")

    def close(self) -> None:
        self.client.close()

    def ask(self, method: str, address: str, **more: Any) -> httpx.Response:
        target = address if "://" in address else self.url + address
        jar = self.cookies.setdefault(urlsplit(target).netloc, {})
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in jar.items()), **more.pop("headers", {})}
        answer = self.client.request(method, target, headers=headers, follow_redirects=False, **more)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            jar[name], self.rules[name] = value, line
            if "1970" in line:
                del jar[name]
        self.seen += [answer.text, str(answer.headers.get("location", ""))]
        return answer

    def get(self, address: str, accept: str = "*/*") -> httpx.Response:
        answer = self.ask("GET", address, headers={"accept": accept})
        for _ in range(8):
            if "location" not in answer.headers:
                return answer
            answer = self.ask(
                "GET", str(answer.request.url.join(answer.headers["location"])), headers={"accept": accept}
            )
        raise AssertionError("redirects without end")

    def call(self, name: str, data: Any = None) -> dict[str, Any]:
        body = {"data": data or {}, "component_id": self.component, "fn_name": name, "session_hash": "shared"}
        found: dict[str, Any] = self.ask("POST", "/gradio_api/component_server/", json=body).json()
        return found

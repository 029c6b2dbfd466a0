"""A visitor's browser without a window: plain requests, as the page makes them."""

from __future__ import annotations

import json
from typing import Any

import httpx

WAIT = 120.0


class Browser:
    """One visitor's browser: keeps cookies and calls server functions as the page does."""

    def __init__(self, url: str, *, page: str = "page") -> None:
        self.client = httpx.Client(base_url=url, timeout=WAIT)
        self.client.get("/", headers={"accept": "text/html"}).raise_for_status()
        components = self.client.get("/config").json()["components"]
        self.component = next(one["id"] for one in components if one["type"] == "html")
        self.page = page
        self.sequence = 0

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def post(self, name: str, data: Any, **changes: Any) -> httpx.Response:
        body = {"data": data, "component_id": self.component, "fn_name": name, "session_hash": "shared", **changes}
        return self.client.post("/gradio_api/component_server/", content=json.dumps(body))

    def call(self, name: str, data: Any = None) -> dict[str, Any]:
        answer = self.post(name, data)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def live(self, want: str, state: Any, **more: Any) -> dict[str, Any]:
        self.sequence += 1
        return self.call("live", {"seq": self.sequence, "page": self.page, "want": want, "state": state, **more})

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("hello", {"link": None})["state"]
        return found


def sentences(answer: dict[str, Any]) -> list[str]:
    assert answer["ok"] is False
    return [problem["sentence"] for problem in answer["problems"]]

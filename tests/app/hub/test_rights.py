"""Two visitors of different rights: what one may not read never comes out, not even after the other has it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.app.hub.conftest import TASK, HubServer
from tests.app.wire import Browser, sentences

Ask = Callable[[Browser, dict[str, Any]], dict[str, Any]]
REFUSALS = {"ada/letters": "may be seen by you, but nothing of that name came", "ada/greek": "ask for access at"}


def live(want: str, **more: Any) -> Ask:
    return lambda browser, state: browser.live(want, state, **more)


def between(browser: Browser, state: dict[str, Any]) -> dict[str, Any]:
    ends = {"kind": "between", "a": state["recipe"]["base"], "b": state["recipe"]["models"][0]["ref"]}
    return browser.live("path", {**state, "path": ends})


def unused(ask: Ask) -> Ask:
    """Ask with a recipe that leaves out what the visitor may not read; only the family still names it."""

    def asked(browser: Browser, state: dict[str, Any]) -> dict[str, Any]:
        models = [{"ref": "zoo:tiny/digits"}]
        recipe = {**state["recipe"], "base": None, "models": models, "method": {"name": "linear"}, "lambda": 1.0}
        return ask(browser, {**state, "recipe": recipe})

    return asked


def look(browser: Browser, state: dict[str, Any]) -> dict[str, Any]:
    return browser.call("look_closer", {"page": "look", "seq": 1, "state": state, "task": "tiny/letters"})


def picture(browser: Browser, state: dict[str, Any]) -> dict[str, Any]:
    return browser.call("try_picture", {"page": "try", "seq": 1, "state": state, "task": TASK, "example": 1})


def trade_off(browser: Browser, state: dict[str, Any]) -> dict[str, Any]:
    expert = json.loads(state["family"].removeprefix("own:"))["experts"][0][0]
    asked = {"page": "trade", "seq": 1, "family": state["family"], "expert": expert, "subset": "preview"}
    return browser.call("trade_off", asked)


def method_picture(browser: Browser, state: dict[str, Any]) -> dict[str, Any]:
    return browser.call("method_picture", {"page": "pick", "seq": 1, "state": state, "method": "linear"})


def study(name: str, **more: Any) -> Ask:
    """Ask for the line from the base to the expert whose access is limited."""

    def asked(browser: Browser, state: dict[str, Any]) -> dict[str, Any]:
        models = [state["recipe"]["base"], state["recipe"]["models"][0]["ref"]]
        return browser.call(name, {"state": state, "spec": {"study": "interpolate", "models": models}, **more})

    return asked


ASKS: dict[str, Ask] = {
    "preview": live("preview"),
    "settle": live("settle"),
    "path": live("path"),
    "fine path": live("path", fine=True),
    "path between": between,
    "layers": live("layers"),
    "test": lambda browser, state: browser.call("score_on_test", {"state": state}),
    "look closer": look,
    "look closer at an expert that is not merged": unused(look),
    "picture": picture,
    "picture of a base that is not merged": unused(picture),
    "trade-off": trade_off,
    "method picture": method_picture,
    "method picture of what is not merged": unused(method_picture),
    "method fits": lambda browser, state: browser.call("method_fits", {"page": "pick", "seq": 1, "state": state}),
    "study": study("geometry_look", page="g", seq=1),
    "job of a study": study("geometry_start"),
    "export plan": lambda browser, state: browser.call("export_plan", {"state": state}),
    "export": lambda browser, state: browser.call("export_start", {"state": state}),
    "save": lambda browser, state: browser.call("save", {"state": state}),
    "share result": lambda browser, state: browser.call("share_result", {"state": state}),
}


def family_of(server: HubServer, name: str) -> dict[str, Any]:
    """A choice that holds a model whose access is limited as base, and as expert of its task."""
    experts = [{"ref": server.ref(name), "task": "tiny/letters"}, {"ref": "zoo:tiny/digits", "task": TASK}]
    return {"base": server.ref("ada/base"), "experts": experts, "tasks": [TASK, "tiny/letters"]}


@pytest.mark.parametrize("name", ["ada/letters", "ada/greek"])
def test_nothing_of_a_model_comes_out_for_whom_the_hub_refuses_it(server: HubServer, name: str) -> None:
    hub = server.fake
    ada = server.visitor("ada")
    server.hold("ada/base", name)
    state = ada.call("models_check", family_of(server, name))["state"]
    for what, ask in ASKS.items():
        if not what.startswith("export"):
            assert ask(ada, state)["ok"], what
    saved = ada.call("share_result", {"state": state})
    address = parse_qs(saved["query"])["r"][0]
    hub.models["ada/base"].private = True  # now the base is hers alone too
    for account in ("bob", "stranger"):
        other = server.visitor(account)
        for what, ask in ASKS.items():
            told = sentences(ask(other, state))
            assert any(REFUSALS[name] in one or "may be seen by you" in one for one in told), (what, told)
        assert sentences(other.call("models_check", family_of(server, name)))
        assert sentences(other.call("hub_download", {"refs": [server.ref(name)]}))
        assert sentences(other.call("hub_look", {"address": name}))
        assert sentences(other.call("recompute", {"r": address}))
        assert other.call("job_list", {})["jobs"] == []
        said = other.call("hello", {"link": parse_qs(ada.call("share", {"state": state})["query"])["s"][0]})
        assert said["state"] == state and said["history"] == []

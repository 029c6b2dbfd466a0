"""The endpoints through the real gradio_client, against a running server on the zoo."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from gradio_client import Client
from gradio_client.exceptions import AppError, ValidationError

from app.endpoints.mount import NAMES
from app.main import Basin, create_app
from app.settings import Settings
from tests.app.pretend import free_port

# Gradio's client opens an event loop of its own and leaves it to the collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning"
)
RECIPE: dict[str, Any] = {
    "version": 1,
    "base": "zoo:tiny/base",
    "models": [{"ref": "zoo:tiny/digits"}, {"ref": "zoo:tiny/letters"}],
    "method": {"name": "task_arithmetic"},
    "lambda": 0.3,
}
YAML = """
version: 1
base: zoo:tiny/base
models: [{ref: "zoo:tiny/digits"}, {ref: "zoo:tiny/letters"}]
method: {name: task_arithmetic}
lambda: 0.3
"""
SOUP = """
version: 1
models: [{ref: "zoo:basins/left"}, {ref: "zoo:basins/right"}]
method: {name: linear}
"""
"""Of the small networks, which are measured at once."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    environment = {"BASIN_DATA": str(tmp_path_factory.mktemp("data")), "BASIN_PORT": str(free_port())}

    async def start() -> tuple[Basin, str]:
        app = create_app(Settings.from_env(environment))
        app.studio.warm = lambda: None  # type: ignore[method-assign]  # what the first page needs is not needed here
        return app, app.start(block=False, quiet=True)

    threads = torch.get_num_threads()
    app, address = asyncio.run(start())
    yield address
    app.stop()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def ann(url: str) -> Client:
    return Client(url, verbose=False)


def refusal(client: Client, name: str, *arguments: Any, **named: Any) -> str:
    with pytest.raises(AppError) as caught:
        client.predict(*arguments, **named, api_name=f"/{name}")
    return str(caught.value)


def test_every_endpoint_is_named_typed_and_described(ann: Client) -> None:
    found = ann.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(found) == {f"/{name}" for name in NAMES}
    parameters = {name: [one["parameter_name"] for one in found[f"/{name}"]["parameters"]] for name in NAMES}
    assert parameters["evaluate"] == ["recipe", "split", "subset", "tasks"]
    assert parameters["interpolate"] == ["a", "b", "points", "subset", "tasks"]
    assert parameters["methods"] == parameters["zoo"] == []
    assert found["/evaluate"]["parameters"][1]["type"] == {"enum": ["validation", "test"]}
    assert found["/plan"]["description"].startswith("Check and price a merge")


def test_a_plan_says_what_a_merge_would_take_and_names_the_recipe_by_its_hash(ann: Client) -> None:
    plan = ann.predict(json.dumps(RECIPE), api_name="/plan")
    assert plan == ann.predict(recipe=YAML, api_name="/plan")
    assert len(plan["hash"]) == 64
    assert "digits" in plan["words"]
    assert json.loads(json.dumps(plan, allow_nan=False)) == plan


def test_an_evaluation_gives_the_numbers_that_the_studio_shows(ann: Client) -> None:
    quick = ann.predict(SOUP, "validation", "preview", api_name="/evaluate")
    whole = ann.predict(SOUP, api_name="/evaluate")
    assert quick["hash"] == whole["hash"] == ann.predict(SOUP, api_name="/plan")["hash"]
    assert (quick["numbers"]["partial"], whole["numbers"]["partial"]) == (True, False)
    assert 0 < quick["numbers"]["n"] < whole["numbers"]["n"]
    low, high = whole["numbers"]["average"]["interval"]
    assert low <= whole["numbers"]["average"]["accuracy"] <= high


def test_a_test_score_is_counted_per_visitor_and_the_same_merge_once(url: str, ann: Client) -> None:
    first = ann.predict(SOUP, "test", "full", api_name="/evaluate")
    assert (first["numbers"]["split"], first["test_scores"]) == ("test", 1)
    assert ann.predict(SOUP, "test", api_name="/evaluate")["test_scores"] == 1
    other = SOUP.replace("basins/right", "basins/start")
    assert ann.predict(other, "test", api_name="/evaluate")["test_scores"] == 2
    bob = Client(url, verbose=False)
    assert bob.predict(other, "test", api_name="/evaluate")["test_scores"] == 1
    assert "a test score is of the full split" in refusal(ann, "evaluate", SOUP, "test", "preview")


def test_a_line_has_its_points_and_its_barrier(ann: Client) -> None:
    line = ann.predict("zoo:tiny/digits", "zoo:tiny/letters", 3, api_name="/interpolate")
    points = line["splits"]["validation"]["points"]
    assert [point["t"] for point in points] == [0.0, 0.5, 1.0]
    barrier = line["barrier"]["validation"]["loss"]
    chord = (points[0]["loss"] + points[2]["loss"]) / 2
    assert barrier["midpoint_gap"] == pytest.approx(points[1]["loss"] - chord)
    assert barrier["height"] == pytest.approx(max(0.0, points[1]["loss"] - chord))
    mixed = ann.predict("zoo:tiny/base", YAML, 2, api_name="/interpolate")
    assert mixed["splits"]["validation"]["points"][0]["loss"] > 0


def test_layers_are_those_of_the_recipe(ann: Client) -> None:
    numbers = ann.predict(YAML, api_name="/layers")["numbers"]
    assert [expert["ref"] for expert in numbers["experts"]] == ["zoo:tiny/digits", "zoo:tiny/letters"]
    assert len(numbers["merged_norms"]) == len(numbers["depths"])


def test_the_registry_and_the_zoo_are_there_to_begin_with(ann: Client) -> None:
    assert {"ties", "linear"} <= {method["name"] for method in ann.predict(api_name="/methods")["methods"]}
    zoo = ann.predict(api_name="/zoo")
    start = next(family["start"] for family in zoo["families"] if family["name"] == "tiny")
    assert ann.predict(json.dumps(start), api_name="/plan")["hash"]
    assert {task["name"] for task in zoo["tasks"]} >= {"tiny/digits"}


def test_a_link_opens_again_as_the_recipe_that_it_was_made_of(url: str, ann: Client) -> None:
    made = ann.predict(YAML, api_name="/share_link")
    assert made["url"] == f"{url.rstrip('/')}/?{made['query']}"
    for spelling in (made["url"], made["query"], f"?{made['query']}&__theme=dark", made["query"].removeprefix("s=")):
        opened = ann.predict(spelling, api_name="/open_link")
        assert opened["hash"] == made["hash"]
    assert ann.predict(opened["yaml"], api_name="/share_link")["query"] == made["query"]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("plan", ["{"], "the text is plain YAML"),
        ("plan", [""], "a recipe is JSON or YAML text, but nothing came."),
        ("plan", ["  "], "a recipe is JSON or YAML text, but nothing came."),
        ("open_link", [{"a": 1}], "a link is text, but dict came."),
        ("plan", ["[1]"], "a recipe is an object, but list came."),
        ("plan", [json.dumps({**RECIPE, "models": [{"ref": "file:/etc"}]})], "the studio merges checkpoints of the"),
        ("evaluate", [YAML, "train"], "split is validation or test, but 'train' came."),
        ("evaluate", [YAML.replace("task_arithmetic", "tais")], "did you mean “ties”?"),
        ("interpolate", ["zoo:tiny/digits", "zoo:basins/left"], "of one family, such as tiny"),
        ("interpolate", ["zoo:tiny/digits", "zoo:tiny/letters", 26], "points is a whole number from 2 to 25"),
        ("interpolate", ["file:/etc/passwd", "zoo:tiny/letters"], "of one family"),
        ("open_link", ["https://example.org/?x=1"], "a link carries its recipe"),
        ("open_link", ["1.AAAA"], "link"),
        ("download", [YAML], "names models of the Hub, but none came; nothing is to be downloaded"),
        ("job", ["0" * 32], "a job is one of yours and still kept"),
        ("job", [None], "job is the id of a job"),
    ],
)
def test_what_cannot_be_done_is_said_in_sentences(ann: Client, name: str, arguments: list[Any], said: str) -> None:
    told = refusal(ann, name, *arguments)
    assert said in told
    assert "Traceback" not in told and "Error(" not in told


def test_the_examples_of_the_page_run(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block.replace("http://127.0.0.1:7860", url), "docs/api.md", "exec"), names)
    said = capsys.readouterr().out
    assert "did you mean “ties”?" in said
    assert re.search(r"^0\.\d{3} \(0\.\d{3} – 0\.\d{3}\), n \d+$", said, re.MULTILINE)


def test_the_page_lists_every_endpoint() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == NAMES


def test_a_program_is_given_a_cookie_once_and_sends_no_more_than_a_page_may(url: str) -> None:
    with httpx.Client(base_url=url, timeout=120) as program:
        assert "set-cookie" in program.get("/config").headers
        assert "set-cookie" not in program.get("/config").headers
        long = {"data": ["x" * 300_000], "fn_index": 0, "session_hash": "a"}
        for path, status in (("queue/join", 422), ("call/plan", 413), ("run/plan", 413)):
            answer = program.post(f"/gradio_api/{path}", json=long)
            assert (answer.status_code, answer.json()["ok"]) == (status, False)


def test_a_recipe_of_64_kib_is_read_and_a_larger_one_gets_a_sentence(ann: Client) -> None:
    room = 64 * 1024 - len(YAML.encode())
    assert ann.predict(YAML + "#" + '"' * (room - 1), api_name="/plan")["hash"]
    assert "a recipe has at most 65536 bytes" in refusal(ann, "plan", YAML + "#" + '"' * room)
    with pytest.raises(ValidationError, match="a message has at most 262144 bytes, but a larger one came"):
        ann.predict(YAML + "#" * 300_000, api_name="/plan")


def test_a_recipe_may_come_as_an_object_and_nothing_else(ann: Client) -> None:
    assert ann.predict(RECIPE, api_name="/plan") == ann.predict(YAML, api_name="/plan")
    assert "a recipe is JSON or YAML text, but int came." in refusal(ann, "plan", 7)

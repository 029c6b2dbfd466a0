"""The endpoints as tools of an MCP server, through the real MCP client; skipped where Gradio's extra is missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.endpoints.mount import NAMES
from tests.app.pretend import PretendServer

pytest.importorskip("mcp")

# Gradio's MCP server and its client lean on what their libraries will drop some day.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
RECIPE = json.dumps(
    {
        "version": 1,
        "base": "zoo:tiny/base",
        "models": [{"ref": "zoo:tiny/digits"}, {"ref": "zoo:tiny/letters"}],
        "method": {"name": "ties"},
    }
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PretendServer]:
    made = PretendServer(tmp_path_factory.mktemp("data"), mcp=True)
    yield made
    made.stop()


def ask(server: PretendServer, name: str | None, **arguments: Any) -> Any:
    """List the tools, or call one."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def talk() -> Any:
        address = f"{server.url.rstrip('/')}/gradio_api/mcp/"
        async with streamablehttp_client(address) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            if name is None:
                return (await session.list_tools()).tools
            return await session.call_tool(name, arguments)

    return asyncio.run(talk())


def test_every_endpoint_is_a_tool_that_says_what_it_does_and_what_it_takes(server: PretendServer) -> None:
    tools = {tool.name: tool for tool in ask(server, None)}
    assert set(tools) == set(NAMES)
    evaluate = tools["evaluate"]
    assert evaluate.description.startswith("Merge models and measure accuracy and loss on every task")
    assert set(evaluate.inputSchema["properties"]) == {"recipe", "split", "subset", "tasks"}
    told = evaluate.inputSchema["properties"]["split"]
    assert told["enum"] == ["validation", "test"]
    assert "counted as a test score" in told["description"]
    assert all(tool.description for tool in tools.values())


def test_the_schema_is_there_to_be_read(server: PretendServer) -> None:
    schema = httpx.get(f"{server.url.rstrip('/')}/gradio_api/mcp/schema", timeout=120).json()
    assert {tool["name"] for tool in schema} == set(NAMES)


def test_a_tool_answers_and_refuses_in_sentences(server: PretendServer) -> None:
    made = ask(server, "share_link", recipe=RECIPE)
    assert not made.isError
    assert "s=1." in made.content[0].text
    measured = ask(server, "evaluate", recipe=RECIPE, split="validation", subset="preview")
    assert "accuracy" in measured.content[0].text
    refused = ask(server, "evaluate", recipe="", split="validation", subset="full")
    assert refused.isError
    assert "a recipe is JSON or YAML text, but nothing came." in refused.content[0].text

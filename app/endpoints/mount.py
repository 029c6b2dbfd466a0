"""The endpoints as Gradio knows them: typed, documented functions, and errors as sentences.

Gradio reads types and docstrings at run time (`Args:` and `Returns:` become the descriptions of tools), so annotations
here are real ones, and docstrings are written for whoever calls.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import gradio as gr
from fastapi import Request
from gradio.events import api
from gradio.route_utils import get_root_url

from app.callers import Callers, called_by
from app.endpoints.service import Endpoints
from app.notices import answer_for

__all__ = ["NAMES", "mount"]

NAMES = ("plan", "evaluate", "interpolate", "layers", "methods", "zoo", "share_link", "open_link", "download", "job")


def mount(endpoints: Endpoints, root_path: str, callers: Callers) -> None:
    """Name the endpoints inside the page that is being built.

    `root_path`: the public path below a proxy, or the whole public address; empty if the request tells.
    """

    async def answered(request: gr.Request, ask: Callable[[str], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        # Gradio works through its queue in tasks of its own, so the caller is named here.
        who = callers.of(_plain(request))
        with called_by(who):
            try:
                return await ask(who.visitor)
            except Exception as error:
                raise _refusal(error) from None

    async def plan(recipe: str, request: gr.Request) -> dict[str, Any]:
        """Check and price a merge from the headers of its checkpoints, before any tensor is read.

        Args:
            recipe: The recipe as JSON or YAML text.

        Returns:
            Models, leaves, bytes, estimated seconds, warnings, the recipe in words, and its hash.
        """
        return await answered(request, lambda who: endpoints.plan(who, recipe))

    async def evaluate(
        recipe: str,
        request: gr.Request,
        split: Literal["validation", "test"] = "validation",
        subset: Literal["preview", "full"] = "full",
        tasks: str = "",
    ) -> dict[str, Any]:
        """Merge models and measure accuracy and loss on every task of their family, with 95 % intervals.

        Args:
            recipe: The recipe as JSON or YAML text.
            split: The examples: validation while choosing; test to report, each time counted as a test score.
            subset: preview for a small stratified part, full for the whole split; a test score is always full.
            tasks: Names of tasks with commas between them; by default those of the checkpoints' family.

        Returns:
            Numbers per task and on average, and the recipe's hash; with test, how many test scores were taken.
        """
        return await answered(request, lambda who: endpoints.evaluate(who, recipe, split, subset, tasks))

    async def interpolate(
        a: str,
        b: str,
        request: gr.Request,
        points: int = 11,
        subset: Literal["preview", "full"] = "preview",
        tasks: str = "",
    ) -> dict[str, Any]:
        """Measure loss and accuracy along the straight line between two models, and the barrier between them.

        Args:
            a: The model at t = 0: a reference such as zoo:tiny/digits, or a recipe as JSON or YAML text.
            b: The model at t = 1, likewise; both are made of checkpoints of one family.
            points: Points on the line, both ends included, from 2 to 25.
            subset: preview for a small stratified part of the validation split, full for all of it.
            tasks: Names of tasks with commas between them; by default those of the checkpoints' family.

        Returns:
            The points with loss, accuracy, interval and tasks, and the barrier of loss and of error.
        """
        return await answered(request, lambda who: endpoints.interpolate(who, a, b, points, subset, tasks))

    async def layers(recipe: str, request: gr.Request) -> dict[str, Any]:
        """Look at what a merge does to the weights, layer by layer; the recipe names a base.

        Args:
            recipe: The recipe as JSON or YAML text.

        Returns:
            Norms of the task vectors, density kept, sign conflict, layer scaling and cosines between experts.
        """
        return await answered(request, lambda who: endpoints.layers(who, recipe))

    async def methods() -> dict[str, Any]:
        """List every merge method, mask and layer scaling with formula, source and parameters.

        Returns:
            The registry, with the range, unit and default of each parameter.
        """
        return _told(endpoints.methods)

    async def zoo() -> dict[str, Any]:
        """List the checkpoints that can be merged, by family, and the tasks that they are measured on.

        Returns:
            Families with base, experts and a recipe to begin with; tasks with classes and examples per split.
        """
        return _told(endpoints.zoo)

    async def share_link(recipe: str, request: gr.Request) -> dict[str, Any]:
        """Write the link that opens the studio with a recipe, on this server or on any other.

        Args:
            recipe: The recipe as JSON or YAML text.

        Returns:
            The whole address, its query alone, and the recipe's hash.
        """
        address = _address(request, root_path)
        return await answered(request, lambda who: endpoints.share_link(who, recipe, address))

    async def open_link(link: str, request: gr.Request) -> dict[str, Any]:
        """Read a link of the studio back into its recipe; nothing is computed.

        Args:
            link: The address as copied, its query, or the value of s alone.

        Returns:
            The recipe as JSON, as YAML and in words, its family and its hash.
        """
        return await answered(request, lambda who: endpoints.open_link(who, link))

    async def download(recipe: str, request: gr.Request) -> dict[str, Any]:
        """Begin to download the models of the Hugging Face Hub that a recipe names; ask for the job until it is done.

        Args:
            recipe: The recipe as JSON or YAML text.

        Returns:
            The job: its id, its state (queued, running, done, failed, cancelled), its share, and what went wrong.
        """
        return await answered(request, lambda who: endpoints.download(who, recipe))

    async def job(id: str, request: gr.Request) -> dict[str, Any]:
        """Say how a job stands that this visitor began.

        Args:
            id: The id that the job was begun with.

        Returns:
            The job: its id, its state (queued, running, done, failed, cancelled), its share, and what went wrong.
        """

        async def look(who: str) -> dict[str, Any]:
            return endpoints.job(who, id)

        return await answered(request, look)

    for function in (plan, evaluate, interpolate, layers, methods, zoo, share_link, open_link, download, job):
        api(function, api_name=function.__name__, concurrency_limit=None)


def _plain(request: gr.Request) -> Request:
    """Return the request behind Gradio's."""
    if request.request is None:
        raise RuntimeError("an endpoint was called without a request")
    return request.request


def _address(request: gr.Request, root_path: str) -> str:
    plain = request.request
    return "" if plain is None else get_root_url(plain, plain.url.path, root_path or None)


def _told(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return ask()
    except Exception as error:
        raise _refusal(error) from None


def _refusal(error: Exception) -> gr.Error:
    """Say in Gradio's way what `app.notices` makes of an error."""
    answer = answer_for(error)
    problems = answer.get("problems") or [{"sentence": "A newer request took the place of this one."}]
    return gr.Error("\n".join(str(one["sentence"]) for one in problems), print_exception=False, title="Basin")

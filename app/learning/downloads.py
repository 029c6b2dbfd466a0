"""The addresses of what a run learned: its recipe and its tensors, for whoever began it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, Response
from starlette.routing import Route

from app.learning.shelf import RunError, Runs
from app.visitors import SCOPE_KEY
from merging_core.checkpoints.learned import BESIDE_NAME

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["learned_routes"]

_RECIPE = "recipe.json"
_NOT_FOUND = "There is no such file for you: the run was deleted, or it is somebody else's. Learn it again."


def learned_routes(runs: Runs) -> list[Route]:
    """Return the routes to put before Gradio's own; the visitor is the one of the signed cookie."""

    async def one(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            run = runs.get(request.scope[SCOPE_KEY], request.path_params["run"])
        except RunError:
            return _missing()
        recipe = (runs.files(run).read("result") or {}).get("recipe")
        if recipe is None:
            return _missing()
        headers = {"cache-control": "private, no-store", "content-encoding": "identity"}
        if name == _RECIPE:
            text = json.dumps(recipe, indent=2, ensure_ascii=False) + "\n"
            headers["content-disposition"] = f'attachment; filename="{_RECIPE}"'
            return Response(text, media_type="application/json", headers=headers)
        measured = [entry["statistics"] for entry in recipe["models"] if "statistics" in entry]
        files = {runs.learned.path(ref).name: ref for ref in measured}
        if recipe.get("tensors") is not None:
            files[BESIDE_NAME] = recipe["tensors"]
        if name not in files or not runs.learned.path(files[name]).is_file():
            return _missing()
        path = runs.learned.path(files[name])
        return FileResponse(path, headers=headers, media_type="application/octet-stream", filename=name)

    return [Route("/basin-learned/{run}/{name}", one, methods=["GET"])]


def _missing() -> Response:
    return Response(_NOT_FOUND, 404, media_type="text/plain; charset=utf-8", headers={"cache-control": "no-store"})

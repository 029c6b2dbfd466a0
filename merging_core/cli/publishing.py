"""What becomes of an exported folder: `publish`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merging_core.cli.options import AsJson
from merging_core.cli.output import answer
from merging_core.cli.progress import ProgressLine

if TYPE_CHECKING:
    from merging_core.errors import Problem

__all__ = ["publish"]


def publish(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that `merge` has written.")],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="The repository on the Hub: owner/name.")],
    private: Annotated[bool, typer.Option("--private", help="Make the repository a private one.")] = False,
    existing: Annotated[bool, typer.Option("--existing", help="Change a repository that is there.")] = False,
    pull_request: Annotated[
        bool, typer.Option("--pull-request", help="Propose the change to a repository that is there.")
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option(help="The licence to publish under, where those of the parts are unknown or forbid it."),
    ] = None,
    message: Annotated[str, typer.Option(help="The first line of the commit.")] = "Publish a merge made with Basin",
    as_json: AsJson = False,
) -> None:
    """Upload a merged checkpoint with its card to the Hub, in one commit, with the token in HF_TOKEN."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    from merging_core.cli.environment import hub_token
    from merging_core.engines.pricing import amount
    from merging_core.hub import publish as hub

    disable_progress_bars()
    left: list[Problem] = []
    try:
        with ProgressLine() as progress:
            made = hub.publish(
                folder,
                repo,
                hub_token(),
                private=private,
                create=not existing,
                as_pull_request=pull_request,
                message=message,
                licence_override=licence,
                progress=progress,
                leaves=left.append,
            )
    except KeyboardInterrupt:
        sys.stderr.writelines(f"{problem}\n" for problem in left)
        raise
    sentence = f"{made.url}: {len(made.files)} files, {amount(made.nbytes)}\ncommit {made.commit}"
    answer(sentence, made.as_json(), as_json=as_json)

"""What the page asks about publishing an export: what would happen, and do it; `app.job_desk` shows how it stands."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from typing import Any

from app.callers import Callers, caller
from app.job_desk import shown
from app.job_records import RESULT
from app.jobs import Job, JobError, Jobs
from app.live import Cancelled, Scheduler
from app.notices import Answer, answers_in_turn
from app.publish import work
from app.studio.messages import MessageError, is_text, message_of
from merging_core.cards.licences import hindrances
from merging_core.errors import BasinError, HubError, Problem
from merging_core.hub.accounts import Account, account_of
from merging_core.hub.exported import Exported, read_exported
from merging_core.hub.publish import look

__all__ = ["Publishing"]

KIND = "publish"
_JOB = (True, "job is the id of an export", is_text(64))
_LONGEST_NAME = 200
_SILENCE = 15.0
"""Seconds without an answer after which somebody who only looks is told so."""
_ACCOUNTS = 64


class Publishing:
    """Methods take a visitor's id and a message, and return an answer; none raises.

    `scheduler`: for what waits for the Hub, which answers at `endpoint`.
    """

    def __init__(self, jobs: Jobs, scheduler: Scheduler, callers: Callers, endpoint: str) -> None:
        self._jobs = jobs
        self._scheduler = scheduler
        self._callers = callers
        self._endpoint = endpoint
        self._accounts: dict[str, Account] = {}

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {"publish_plan": self.plan, "publish_start": self.start}

    @answers_in_turn
    async def plan(self, visitor: str, message: object) -> Answer:
        """Say what publishing an export would do; with a repository, what that is now."""
        repo = (False, "repo is owner/name, or null", is_text(_LONGEST_NAME))
        fields = message_of(message, {"job": _JOB, "repo": repo})
        exported, job = self._export(visitor, fields["job"])

        def ask(cancelled: Cancelled) -> Answer:
            return self._plan(exported, job, fields["repo"])

        future = self._scheduler.submit(visitor, "publish", "publish", 0, ask)
        return {"plan": await asyncio.wrap_future(future)}

    @answers_in_turn
    async def start(self, visitor: str, message: object) -> Answer:
        """Start publishing; asking again for what waits or runs gives that job."""
        fields = message_of(
            message,
            {
                "job": _JOB,
                "repo": (True, "repo is owner/name", is_text(_LONGEST_NAME)),
                "private": (False, "private is true or false", _is_flag),
                "create": (False, "create is true or false", _is_flag),
                "as_pull_request": (False, "as_pull_request is true or false", _is_flag),
                "licence": (False, "licence is the name of one, or null", is_text(_LONGEST_NAME)),
            },
        )
        exported, job = self._export(visitor, fields["job"])
        create = fields["create"] is not False
        if create and fields["as_pull_request"]:
            must, fix = "a pull request goes to a repository that is there", "leave one of the two out"
            raise MessageError(Problem(must, "one that is made", "message.create", fix))
        token = self._callers.own_token()
        if token is None:
            raise HubError(self._unknown())
        exported.to_send(fields["repo"], fields["licence"])
        return {"job": shown(self._jobs, self._submit(visitor, job, fields, create, token))}

    def _plan(self, exported: Exported, job: Job, repo: str | None) -> dict[str, Any]:
        token = self._callers.own_token()
        account, trouble = self._account(token, ask=repo is None) if token is not None else (None, str(self._unknown()))
        name = str((job.result or {}).get("name", ""))
        licences = exported.licences
        destination = None
        if repo is not None and token is not None:
            found = look(repo, frozenset(exported.files), token, endpoint=self._endpoint, silence=_SILENCE)
            destination = found.as_json()
        return {
            "files": [{"name": file, "bytes": path.stat().st_size} for file, path in exported.files.items()],
            "bytes": exported.nbytes,
            "parts": [{"part": part, "licence": licence} for part, licence in licences.items()],
            "hindrances": [str(problem) for problem in hindrances(licences)],
            "account": account.name if account is not None else None,
            "owners": list(account.owners) if account is not None else [],
            "proposed": f"{account.name}/{name}" if account is not None else "",
            "trouble": trouble,
            "may": token is not None,
            "destination": destination,
        }

    def _submit(self, visitor: str, job: Job, fields: dict[str, Any], create: bool, token: str) -> Job:
        repo, private = fields["repo"], fields["private"] is not False
        proposes = bool(fields["as_pull_request"])
        same = f"publish {job.id} {repo} {private} {create} {proposes} {fields['licence']}"
        for other in self._jobs.of(visitor, KIND):
            if other.key.startswith(f"{same} #") and other.state in ("queued", "running"):
                return other
        with self._jobs.reading(visitor, job.id) as folder:
            source = str((folder / RESULT).absolute())
        payload = {
            "folder": source,
            "name": str((job.result or {}).get("name") or "merge"),
            "repo": repo,
            "private": private,
            "create": create,
            "as_pull_request": proposes,
            "licence": fields["licence"],
            "endpoint": self._endpoint,
        }
        return self._jobs.submit(
            visitor,
            title=f"to {repo}",
            work=work.NAME,
            payload=payload,
            key=f"{same} #{secrets.token_hex(4)}",
            kind=KIND,
            secret=token,
        )

    def _export(self, visitor: str, id_: str) -> tuple[Exported, Job]:
        """Return an export of this visitor that is done."""
        job = self._jobs.get(visitor, id_)
        if job.kind != "export" or job.state != "done":
            must, fix = "what is published is an export that is done", "export the merge first"
            raise JobError(Problem(must, f"one that is {job.state}" if job.kind == "export" else job.kind, "job", fix))
        with self._jobs.reading(visitor, id_) as folder:
            return read_exported(folder / RESULT), job

    def _account(self, token: str, *, ask: bool) -> tuple[Account | None, str | None]:
        """Return a token's account, asked once, and what kept it from being known.

        Whoever signed in has a name already: then only the organisations are asked for, where it is to `ask`, and an
        answer that does not come is no trouble.
        """
        key, name = hashlib.sha256(token.encode()).hexdigest(), caller().account
        if key in self._accounts:
            return self._accounts[key], None
        if name and not ask:
            return Account(name), None
        try:
            found = account_of(token, endpoint=self._endpoint, silence=_SILENCE)
        except BasinError as error:
            return (Account(name), None) if name else (None, str(error))
        while len(self._accounts) >= _ACCOUNTS:
            self._accounts.pop(next(iter(self._accounts)))
        self._accounts[key] = found
        return found, None

    def _unknown(self) -> Problem:
        """Say how somebody without a token publishes."""
        offered = self._callers.account()["sign_in"] is not None
        fix = "sign in first" if offered else "on your own machine, start Basin with your token in HF_TOKEN"
        return Problem("you publish with an account of the Hub", "none", "", fix)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)

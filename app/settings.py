"""Everything the outside decides: where to listen, where to keep things, what the machine may spend.

`Settings.from_env` is the only reader of the environment. A value that cannot be used raises `SettingsError`, whose
problems are one sentence each; `app.main` prints them and exits with status 2.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from merging_core.caches import cache_folder
from merging_core.cli.environment import CACHE_GIGABYTES, hub_token
from merging_core.errors import BasinError, Problem, closest

__all__ = ["DEVICES", "Allowance", "Settings", "SettingsError"]

DEVICES = ("auto", "cpu", "cuda", "mps")
_HUGGING_FACE = "https://huggingface.co"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_REPOSITORY = Path(__file__).resolve().parent.parent
_SHORTEST_SECRET = 16
_MOUNT = Path("/data")
"""Where a Space has its bucket, if one is mounted."""
_MEGABYTE = 1_000_000
_OAUTH = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")
"""What a Space sets whose front matter asks for `hf_oauth`."""
_OAUTH_PACKAGES = ("authlib", "itsdangerous")


class SettingsError(BasinError):
    """The environment holds a value that Basin cannot use."""


@dataclass(frozen=True)
class Allowance:
    """What one visitor may ask for."""

    model_bytes: int
    """Of one checkpoint."""
    export_bytes: int
    """Of one export."""
    export_memory: int
    """That the process of one export may take."""
    jobs: int
    """That wait or run at the same time."""
    seconds: float
    """That one job may run."""
    upload_bytes: int
    """Of one upload; all of one visitor may have four times as much."""


@dataclass(frozen=True)
class Settings:
    """How this server runs; nothing in it changes while it runs.

    >>> Settings.from_env({"BASIN_PORT": "8000", "BASIN_DATA": ""}, make_folder=False).port
    8000
    """

    host: str
    port: int
    data: Path | None
    """Where the ledger and the secret are kept; `None` if no folder can be written, then both live in memory."""
    shared_disk: bool
    """Whether that folder is on a mount without file locks, such as a storage bucket."""
    secret: bytes
    """Signs the visitor cookie."""
    device: str
    """`auto`, `cpu`, `cuda` or `mps`."""
    memory_budget: int
    """Bytes that resident task vectors and cached stages may take."""
    threads: int
    """Threads of one tensor operation; 0 leaves the choice to torch."""
    workers: int
    """Live requests computed at the same time."""
    zoo: Path
    """The embedded checkpoints."""
    models: Path | None
    """A folder whose checkpoints every visitor may use; never on a Space."""
    tasks: Path | None
    """A folder whose data every visitor may make tasks of; never on a Space."""
    space: bool
    """Whether this is a Hugging Face Space: the page then stands in a frame of another site."""
    root_path: str
    """The public path if a proxy serves Basin below one, such as `/basin`; else empty."""
    address: str
    """The public address if the surroundings name it, such as `https://ann-basin.hf.space`; else empty."""
    allowance: Allowance
    mcp: bool
    """Whether the endpoints are an MCP server too."""
    zero_gpu: bool
    """Whether settled merges are measured on a GPU that is lent for a moment."""
    hub: str | None
    """The address of the Hugging Face Hub; `None` where its models are not offered."""
    hub_cache: Path
    """Where downloads are kept, for all visitors together; the command line keeps its own there too."""
    hub_budget: int
    """Bytes that all downloads together may take."""
    task_budget: int
    """Bytes that all prepared tasks together may take."""
    hub_token: str | None = field(repr=False)
    """The token of whoever runs this Basin, where visitors may be asked for with it; else `None`."""
    alone: bool
    """Whether this Basin serves nobody but whoever runs it: it listens to this machine only, without a proxy."""
    sign_in: bool = False
    """Whether visitors can sign in with Hugging Face."""

    @property
    def scratch(self) -> Path | None:
        """Where results of jobs lie for a while: beside the ledger, but never on a mount."""
        return None if self.shared_disk else self.data

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None, *, make_folder: bool = True) -> Settings:
        """Read the environment and check all of it.

        Raises: `SettingsError` with every problem.
        """
        env = dict(os.environ if environment is None else environment)
        problems: list[Problem] = []
        space = bool(env.get("SPACE_ID")) or env.get("SYSTEM") == "spaces"
        port_name = next((name for name in ("BASIN_PORT", "GRADIO_SERVER_PORT", "PORT") if env.get(name)), "BASIN_PORT")
        port = _whole(env, port_name, 7860, 1, 65535, problems)
        megabytes = _whole(env, "BASIN_MEMORY_MB", _half_of_memory(), 64, 1_048_576, problems)
        threads = _whole(env, "BASIN_THREADS", 0, 0, 256, problems)
        workers = _whole(env, "BASIN_WORKERS", 1, 1, 16, problems)
        device = env.get("BASIN_DEVICE") or "auto"
        if device not in DEVICES:
            must = "the device is auto, cpu, cuda or mps"
            problems.append(Problem(must, device, "BASIN_DEVICE", closest(device, DEVICES)))
        zoo = Path(env.get("BASIN_ZOO") or _REPOSITORY / "assets" / "zoo")
        if env.get("BASIN_ZOO") and not (zoo / "manifest.json").is_file():
            problems.append(
                Problem("the zoo is a folder that holds manifest.json", str(zoo), "BASIN_ZOO", "leave it unset")
            )
        models = _offered(env, "BASIN_MODELS", "checkpoints", space, problems)
        tasks = _offered(env, "BASIN_TASKS", "data for tasks", space, problems)
        root_path = env.get("GRADIO_ROOT_PATH", "")
        given_secret = env.get("BASIN_SECRET", "").encode()
        if given_secret and len(given_secret) < _SHORTEST_SECRET:
            advice = "leave it unset and one is made"
            must = f"the secret has at least {_SHORTEST_SECRET} bytes"
            problems.append(Problem(must, f"one of {len(given_secret)}", "BASIN_SECRET", advice))
        allowance = _allowance(env, space, problems)
        mcp = _flag(env, "BASIN_MCP", False, problems)
        if mcp and importlib.util.find_spec("mcp") is None:
            must, fix = "an MCP server has Gradio's extra for it", 'pip install "gradio[mcp]", or leave it unset'
            problems.append(Problem(must, "none", "BASIN_MCP", fix))
        zero_gpu = _flag(env, "BASIN_ZERO_GPU", bool(env.get("SPACES_ZERO_GPU")), problems)
        if zero_gpu and importlib.util.find_spec("spaces") is None:
            must, fix = "ZeroGPU has the package that lends it", "pip install spaces, or leave it unset"
            problems.append(Problem(must, "none", "BASIN_ZERO_GPU", fix))
        shared_disk = _flag(env, "BASIN_SHARED_DISK", space, problems)
        host = env.get("BASIN_HOST") or ("0.0.0.0" if space else "127.0.0.1")
        alone = not space and not root_path and host in _LOOPBACK
        hub = _hub(env, problems)
        cache_gigabytes = _whole(env, "BASIN_CACHE_GB", 30 if space else CACHE_GIGABYTES, 1, 1_000_000, problems)
        task_gigabytes = _whole(env, "BASIN_TASKS_GB", 5 if space else 10, 1, 1_000_000, problems)
        token = _token(env, space, alone, problems)
        if problems:
            raise SettingsError(*problems)
        data = _data_folder(env, space) if make_folder else None
        return cls(
            host=host,
            port=port,
            data=data,
            shared_disk=shared_disk and data is not None,
            secret=given_secret or _stored_secret(data),
            device=device,
            memory_budget=megabytes * 1024 * 1024,
            threads=threads,
            workers=workers,
            zoo=zoo,
            models=models,
            tasks=tasks,
            space=space,
            root_path=root_path,
            address=f"https://{env['SPACE_HOST']}" if space and env.get("SPACE_HOST") else "",
            allowance=allowance,
            mcp=mcp,
            zero_gpu=zero_gpu,
            hub=hub,
            hub_cache=cache_folder(env) / "hub",
            hub_budget=cache_gigabytes * 1_000_000_000,
            task_budget=task_gigabytes * 1_000_000_000,
            hub_token=token if hub is not None else None,
            alone=alone,
            sign_in=space and _can_sign_in(env),
        )


def _hub(env: Mapping[str, str], problems: list[Problem]) -> str | None:
    """Return the Hub's address; nothing where its models are not offered."""
    address = env.get("HF_ENDPOINT", "").strip().rstrip("/") or _HUGGING_FACE
    if not address.startswith(("https://", "http://")) or not address.isprintable():
        must = "the Hub's address starts with https:// or http://"
        fix = f"leave it unset for {_HUGGING_FACE}"
        problems.append(Problem(must, ascii(address[:80]), "HF_ENDPOINT", fix))
    return address if _flag(env, "BASIN_HUB", True, problems) else None


def _token(env: Mapping[str, str], space: bool, alone: bool, problems: list[Problem]) -> str | None:
    """Return the token of whoever runs this Basin, if visitors may be asked for with it; never on a Space."""
    shared = _flag(env, "BASIN_TOKEN_FOR_VISITORS", alone, problems)
    if space and shared:
        must, fix = "visitors of a Space have tokens of their own", "leave it unset: they sign in"
        problems.append(Problem(must, "1", "BASIN_TOKEN_FOR_VISITORS", fix))
    token = hub_token(env)
    if token is not None and not (token.isascii() and token.isprintable()):
        problems.append(Problem("a token is plain text", "other characters", "HF_TOKEN", "copy it again"))
    return token if shared else None


def _allowance(env: Mapping[str, str], space: bool, problems: list[Problem]) -> Allowance:
    """Read what a visitor may ask for; a Space is shared by strangers and gives less."""
    model, export, minutes, upload = (2_000, 2_000, 20, 500) if space else (1_000_000, 8_000, 120, 4_000)
    return Allowance(
        model_bytes=_whole(env, "BASIN_MOST_MODEL_MB", model, 1, 10_000_000, problems) * _MEGABYTE,
        export_bytes=_whole(env, "BASIN_MOST_EXPORT_MB", export, 1, 10_000_000, problems) * _MEGABYTE,
        export_memory=_whole(env, "BASIN_EXPORT_MEMORY_MB", _half_of_memory(), 512, 1_048_576, problems) << 20,
        jobs=_whole(env, "BASIN_MOST_JOBS", 1 if space else 2, 1, 100, problems),
        seconds=60.0 * _whole(env, "BASIN_MOST_MINUTES", minutes, 1, 10_000, problems),
        upload_bytes=_whole(env, "BASIN_MOST_UPLOAD_MB", upload, 1, 1_000_000, problems) * _MEGABYTE,
    )


def _can_sign_in(env: Mapping[str, str]) -> bool:
    """Say whether a Space has what signing in needs: its front matter asks for it, and Gradio's extra is there.

    Elsewhere Gradio would pretend, and take every visitor for whoever runs this server.
    """
    asked = env.get("SYSTEM") == "spaces" and all(env.get(name) for name in _OAUTH)
    return asked and all(importlib.util.find_spec(name) for name in _OAUTH_PACKAGES)


def _offered(env: Mapping[str, str], name: str, what: str, space: bool, problems: list[Problem]) -> Path | None:
    """Return a folder of this machine that every visitor may use; a Space has none."""
    folder = Path(env[name]).expanduser() if env.get(name) else None
    if folder is not None and space:
        problems.append(Problem("a Space offers no folders of its own", "one", name, "leave it unset"))
    elif folder is not None and not folder.is_dir():
        problems.append(Problem(f"the folder of {what} is there", str(folder), name, "make it, or leave it unset"))
    return folder


def _half_of_memory() -> int:
    """Return half of this machine's memory in MiB, at least 1024: nine CLIP ViT-B/32 in float32 need 6 GB."""
    from merging_core.engines.pricing import available_memory

    return min(max(1024, (available_memory() or 0) // (2 << 20)), 1_048_576)


def _flag(env: Mapping[str, str], name: str, default: bool, problems: list[Problem]) -> bool:
    text = env.get(name, "").strip()
    if text not in ("", "0", "1"):
        problems.append(Problem(f"{name} is 1 or 0", repr(text[:40]), name, f"the default is {int(default)}"))
    return text == "1" if text else default


def _whole(env: Mapping[str, str], name: str, default: int, low: int, high: int, problems: list[Problem]) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if text.isascii() and text.isdigit() and len(text) <= len(str(high)) and low <= int(text) <= high:
        return int(text)
    must = f"{name} is a whole number from {low} to {high}"
    problems.append(Problem(must, repr(text[:40]), name, f"the default is {default}"))
    return default


def _data_folder(env: Mapping[str, str], space: bool) -> Path | None:
    """Make the data folder, readable by its owner only; `None` if that is not possible and none was asked for.

    The disk of a Space is gone when it restarts: only a bucket that is mounted there counts as a folder.
    """
    asked = env.get("BASIN_DATA")
    if space and not asked and not os.path.ismount(_MOUNT):
        return None
    folder = Path(asked).expanduser() if asked else _MOUNT / "basin" if space else _platform_folder(env)
    try:
        folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
        probe = folder / f".probe-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        if asked:
            must = "the data folder can be written"
            raise SettingsError(Problem(must, f"{folder} ({error.strerror})", "BASIN_DATA", "name another")) from None
        return None
    return folder


def _platform_folder(env: Mapping[str, str]) -> Path:
    home = Path(env.get("HOME") or Path.home())
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "Basin"
    if sys.platform == "win32":
        return Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local") / "Basin"
    return Path(env.get("XDG_DATA_HOME") or home / ".local" / "share") / "basin"


def _stored_secret(folder: Path | None) -> bytes:
    """Read the secret of this data folder, or make one that only its owner can read."""
    if folder is None:
        return secrets.token_bytes(32)
    path = folder / "secret"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    except FileExistsError:
        stored = path.read_bytes()
        if len(stored) >= _SHORTEST_SECRET:
            return stored
        must = f"the secret file has at least {_SHORTEST_SECRET} bytes"
        raise SettingsError(Problem(must, f"one of {len(stored)}", str(path), "delete it and one is made")) from None
    secret = secrets.token_hex(32).encode()
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
    return secret

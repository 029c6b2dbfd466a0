"""A Space by one command: what is uploaded is what a Space needs, in one commit, and it runs by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from gradio_client import Client
from huggingface_hub import constants

from app.space import HARDWARE, files_of_space, main, readme
from tests.app.wire import Browser
from tests.hub.uploads import TOKEN, Repo, UploadHub

# The client hands a file to its HTTP library in a way that this one will no longer take some day.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
ROOT = Path(__file__).resolve().parents[2]
RECIPE = "{version: 1, models: [{ref: 'zoo:basins/left'}, {ref: 'zoo:basins/right'}], method: {name: linear}}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadHub]:
    made = UploadHub()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "ENDPOINT", made.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield made
    made.stop()


def front_matter(text: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_the_configuration_is_what_is_tested() -> None:
    front = front_matter(readme())
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert (front["sdk"], front["sdk_version"]) == ("gradio", pinned["gradio"])
    assert front["python_version"] == "3.12"
    assert (front["app_file"], front["license"], front["hf_oauth"]) == ("app.py", "apache-2.0", True)
    assert front["suggested_hardware"] == HARDWARE
    assert front_matter(readme("zero-a10g"))["suggested_hardware"] == "zero-a10g"
    assert "emoji" not in front
    assert len(str(front["short_description"])) <= 60


def test_an_upload_holds_what_runs_and_nothing_else() -> None:
    files = set(files_of_space())
    folders = {name.partition("/")[0] for name in files if "/" in name}
    assert folders == {"app", "merging_core", "assets"}
    assert {"app.py", "requirements.txt", "LICENSE", "NOTICE", "README.md", "assets/zoo/manifest.json"} <= files
    assert not [name for name in files if "__pycache__" in name or name.startswith(("assets/build", "app/space"))]


def test_every_file_of_the_repository_that_the_app_may_read_is_uploaded() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "app", "merging_core", "assets"], cwd=ROOT, capture_output=True, check=False
    )
    tracked = set(listed.stdout.decode().split())
    if not tracked:
        pytest.skip("not a checkout")
    left = {name for name in tracked - set(files_of_space()) if not name.startswith("assets/build/")}
    assert left <= {"app/space.py", "assets/README.md"}


def test_a_dry_run_shows_everything_and_asks_nobody(hub: UploadHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ann/basin", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(readme())
    assert all(f"  {name}\n" in said for name in files_of_space())
    assert said.endswith(f"{len(files_of_space())} files, {said.rsplit(', ', 1)[1]}")
    assert hub.asked == []


def test_a_new_space_is_made_and_filled_in_one_commit(hub: UploadHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ann/basin", "--hardware", "t4-small", "--private"]) == 0
    space = hub.space("ann/basin")
    assert (len(space.commits), space.private) == (1, True)
    assert (space.made_with["sdk"], space.made_with["hardware"]) == ("gradio", "t4-small")
    for name, data in files_of_space("t4-small").items():
        assert space.files[name] == (data.read_bytes() if isinstance(data, Path) else data), name
    out, err = capsys.readouterr()
    assert out.startswith(f"{hub.url}/spaces/ann/basin: ")
    assert TOKEN not in out + err


def test_a_space_of_ours_is_brought_up_to_date(hub: UploadHub, capsys: pytest.CaptureFixture[str]) -> None:
    old = {"app/main.py": b"", "merging_core/errors.py": b"", "app/gone.py": b"", "packages.txt": b"mine"}
    hub.repos["spaces", "ann/basin"] = Repo(False, {}, dict(old))
    assert main(["ann/basin"]) == 0
    files = hub.space("ann/basin").files
    assert "app/gone.py" not in files
    assert files["packages.txt"] == b"mine"
    assert files["app/main.py"] == (ROOT / "app" / "main.py").read_bytes()
    assert "1 removed" in capsys.readouterr().out
    assert hub.space("ann/basin").hardware == []


def test_a_space_of_something_else_is_left_alone(hub: UploadHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.repos["spaces", "ann/cats"] = Repo(False, {}, {"app.py": b"cats", "README.md": b""})
    assert main(["ann/cats"]) == 2
    assert "a new repository is published to, but one that holds 2 files came" in capsys.readouterr().err
    assert hub.space("ann/cats").files["app.py"] == b"cats"


@pytest.mark.parametrize("name", ["basin", "", "a/b/c", "https://huggingface.co/spaces/ann/basin"])
def test_a_name_that_is_none_is_one_sentence(hub: UploadHub, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 2
    assert capsys.readouterr().err.startswith("a Space is named owner/name, but ")
    assert hub.asked == []


def test_without_a_token_nobody_is_asked(
    hub: UploadHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert main(["ann/basin"]) == 2
    assert "a token of the Hub is given, but none came" in capsys.readouterr().err
    assert hub.asked == []


@pytest.mark.slow
def test_what_is_uploaded_runs_by_itself(tmp_path: Path) -> None:
    for name, data in files_of_space().items():
        place = tmp_path / "space" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.read_bytes() if isinstance(data, Path) else data)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("BASIN_", "PYTHONPATH"))}
    environment |= {
        "SPACE_ID": "ann/basin",
        "SYSTEM": "spaces",
        "SPACE_HOST": "ann-basin.hf.space",
        "BASIN_HOST": "127.0.0.1",
    }
    environment |= {"HOME": str(tmp_path), "GRADIO_SERVER_PORT": str(free_port()), "BASIN_THREADS": "1"}
    command = [sys.executable, "app.py"]
    with subprocess.Popen(
        command, cwd=tmp_path / "space", env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        watch = threading.Timer(240, server.kill)
        watch.start()
        try:
            assert server.stdout is not None
            opened = next(line for line in server.stdout if line.startswith("Basin is open at"))
            url = opened.rpartition(" ")[2].strip()
            with Browser(url) as browser:
                browser.client.timeout = 120
                said = browser.call("hello", {"link": None})
                assert said["description"]["storage"] == "memory"
                assert browser.live("preview", said["state"])["numbers"]["n"] > 0
            link = Client(url, verbose=False).predict(RECIPE, api_name="/share_link")["url"]
            assert link.startswith("https://ann-basin.hf.space/?s=1.")
        finally:
            server.kill()
            watch.cancel()


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port

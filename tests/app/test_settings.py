"""Settings: one reader of the environment; what cannot be used is said, all at once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from app.settings import Settings, SettingsError


def read(tmp_path: Path, **environment: str) -> Settings:
    return Settings.from_env({"BASIN_DATA": str(tmp_path / "data"), **environment})


def test_with_an_empty_environment_it_listens_at_home(tmp_path: Path) -> None:
    settings = Settings.from_env({"HOME": str(tmp_path)})
    assert (settings.host, settings.port, settings.device, settings.space) == ("127.0.0.1", 7860, "auto", False)
    assert settings.data is not None and tmp_path in settings.data.parents
    assert settings.zoo.name == "zoo"


def test_on_a_space_it_listens_to_everybody(tmp_path: Path) -> None:
    settings = read(tmp_path, SPACE_ID="owner/basin")
    assert (settings.host, settings.space) == ("0.0.0.0", True)


@pytest.mark.parametrize(
    ("environment", "port"),
    [
        ({"BASIN_PORT": "1", "GRADIO_SERVER_PORT": "2", "PORT": "3"}, 1),
        ({"GRADIO_SERVER_PORT": "2", "PORT": "3"}, 2),
        ({"PORT": "3"}, 3),
        ({"BASIN_PORT": ""}, 7860),
    ],
)
def test_the_first_port_that_is_named_wins(tmp_path: Path, environment: dict[str, str], port: int) -> None:
    assert read(tmp_path, **environment).port == port


@pytest.mark.parametrize("port", ["0", "65536", "abc", "-1", "7860.0", "٣", "9" * 5000, "1e3"])
def test_a_port_that_is_none_gets_one_sentence(tmp_path: Path, port: str) -> None:
    with pytest.raises(SettingsError, match="BASIN_PORT is a whole number from 1 to 65535") as caught:
        read(tmp_path, BASIN_PORT=port)
    assert len(str(caught.value)) < 200


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(
            tmp_path, BASIN_PORT="x", BASIN_DEVICE="cudo", BASIN_MEMORY_MB="1", BASIN_SECRET="short", BASIN_ZOO="/none"
        )
    places = {problem.where for problem in caught.value.problems}
    assert places == {"BASIN_PORT", "BASIN_DEVICE", "BASIN_MEMORY_MB", "BASIN_SECRET", "BASIN_ZOO"}
    assert "did you mean “cuda”?" in str(caught.value)


def test_a_folder_of_checkpoints_is_there_and_never_on_a_space(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert Settings.from_env(home).models is None
    assert Settings.from_env({**home, "BASIN_MODELS": str(tmp_path)}).models == tmp_path
    with pytest.raises(SettingsError, match="the folder of checkpoints is there"):
        Settings.from_env({**home, "BASIN_MODELS": str(tmp_path / "nowhere")})
    with pytest.raises(SettingsError, match="a Space offers no folders"):
        Settings.from_env({**home, "BASIN_MODELS": str(tmp_path), "SPACE_ID": "ann/basin"})


def test_the_data_folder_and_the_secret_are_their_owners(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert settings.data == tmp_path / "data"
    assert stat.S_IMODE(settings.data.stat().st_mode) == 0o700
    assert stat.S_IMODE((settings.data / "secret").stat().st_mode) == 0o600
    assert (settings.data / "secret").read_bytes() == settings.secret
    assert len(settings.secret) >= 32


def test_the_secret_stays_the_same_over_restarts(tmp_path: Path) -> None:
    assert read(tmp_path).secret == read(tmp_path).secret


def test_a_given_secret_is_used_and_not_written(tmp_path: Path) -> None:
    assert read(tmp_path, BASIN_SECRET="a secret from outside").secret == b"a secret from outside"
    assert not (tmp_path / "data" / "secret").exists()


def test_an_emptied_secret_file_is_said(tmp_path: Path) -> None:
    read(tmp_path)
    (tmp_path / "data" / "secret").write_bytes(b"")
    with pytest.raises(SettingsError, match="delete it and one is made"):
        read(tmp_path)


def test_a_data_folder_that_was_asked_for_must_be_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="the data folder can be written"):
        Settings.from_env({"BASIN_DATA": str(tmp_path / "file" / "below")})


def test_without_a_writable_home_everything_lives_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings.from_env({"XDG_DATA_HOME": str(tmp_path / "file"), "HOME": str(tmp_path / "file")})
    assert settings.data is None
    assert len(settings.secret) == 32


TOKEN = "hf_" + "t" * 30


def test_the_token_of_whoever_runs_it_is_for_nobody_else(tmp_path: Path) -> None:
    home = read(tmp_path, HF_TOKEN=TOKEN)
    assert (home.alone, home.hub_token, home.hub) == (True, TOKEN, "https://huggingface.co")
    for shared in ({"BASIN_HOST": "0.0.0.0"}, {"GRADIO_ROOT_PATH": "/basin"}, {"SPACE_ID": "ann/basin"}):
        settings = read(tmp_path, HF_TOKEN=TOKEN, **shared)
        assert (settings.alone, settings.hub_token) == (False, None)
    told = read(tmp_path, HF_TOKEN=TOKEN, BASIN_HOST="0.0.0.0", BASIN_TOKEN_FOR_VISITORS="1")
    assert (told.alone, told.hub_token) == (False, TOKEN)
    assert read(tmp_path, HF_TOKEN=TOKEN, BASIN_TOKEN_FOR_VISITORS="0").hub_token is None
    assert read(tmp_path, HF_TOKEN=TOKEN, BASIN_HUB="0").hub_token is None
    assert TOKEN not in repr(home) + repr(told)


def test_the_hub_s_address_its_cache_and_a_token_that_is_none(tmp_path: Path) -> None:
    settings = read(tmp_path, HF_ENDPOINT="http://hub.example/", BASIN_CACHE=str(tmp_path))
    assert (settings.hub, settings.hub_cache) == ("http://hub.example", tmp_path / "hub")
    assert read(tmp_path, BASIN_HUB="0").hub is None
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, HF_ENDPOINT="hub.example", BASIN_HUB="2", HF_TOKEN="hf_λ")
    assert {problem.where for problem in caught.value.problems} == {"HF_ENDPOINT", "BASIN_HUB", "HF_TOKEN"}
    with pytest.raises(SettingsError, match="visitors of a Space have tokens of their own"):
        read(tmp_path, SPACE_ID="ann/basin", BASIN_TOKEN_FOR_VISITORS="1")

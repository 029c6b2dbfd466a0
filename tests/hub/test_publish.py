"""Publishing through the real client: one commit, nothing overwritten unasked, licences obeyed, every refusal said."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from merging_core.cards.licences import licences_in
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.cli.main import main
from merging_core.engines import make_plan
from merging_core.errors import BasinError, CancelledError, CheckpointError, HubError
from merging_core.export import export_checkpoint
from merging_core.hub.publish import Published, publish
from merging_core.recipes import parse_recipe
from tests.hub.uploads import TOKEN, Refusal, Repo, UploadHub

# The client hands a file to its HTTP library in a way that this one will no longer take some day.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
LEFT = (
    "ann/merge: the new repository gets its files, but nothing came; "
    "it is on the Hub, empty: publish to it again, or delete it there."
)
ZOO = Path(__file__).resolve().parents[2] / "assets" / "zoo"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadHub]:
    """A Hub that takes uploads, with the client allowed to ask it, in the way that needs no service beside it."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    made = UploadHub()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    catalog = Catalog(load_zoo(ZOO))
    models = [{"ref": "zoo:tiny/digits"}, {"ref": "zoo:tiny/letters"}]
    recipe = parse_recipe({"version": 1, "base": "zoo:tiny/base", "models": models, "method": {"name": "ties"}})
    return export_checkpoint(make_plan(recipe, catalog), catalog, tmp_path_factory.mktemp("out") / "merge")


@pytest.fixture
def copy(export: Path, tmp_path: Path) -> Path:
    """A small folder of the same names, to be changed."""
    folder = tmp_path / "merge"
    folder.mkdir()
    for path in export.iterdir():
        folder.joinpath(path.name).write_bytes(b"\0weights" if path.suffix == ".safetensors" else path.read_bytes())
    return folder


def relicense(folder: Path, licence: str) -> None:
    """Let the card say that the first expert is under another licence."""
    card = folder / "README.md"
    lines = card.read_text().splitlines()
    parts = [place for place, line in enumerate(lines) if line.startswith("| model |")]
    cells = lines[parts[0]].split("|")
    cells[4] = f" {licence} "
    lines[parts[0]] = "|".join(cells)
    card.write_text("\n".join(lines) + "\n")


def put(hub: UploadHub, folder: Path, name: str = "ann/merge", **changes: Any) -> Published:
    return publish(folder, name, TOKEN, endpoint=hub.url, **changes)


def sentence(hub: UploadHub, folder: Path, name: str = "ann/merge", **changes: Any) -> str:
    with pytest.raises(BasinError) as caught:
        put(hub, folder, name, **changes)
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def test_an_export_arrives_whole_in_one_commit(hub: UploadHub, export: Path) -> None:
    told: list[tuple[float, str]] = []
    made = put(hub, export, private=True, progress=lambda share, what: told.append((share, what)))
    repo = hub.model("ann/merge")
    there = {name: data for name, data in repo.files.items() if name != ".gitattributes"}
    card = there.pop("README.md").decode()
    assert there == {path.name: path.read_bytes() for path in export.iterdir() if path.name != "README.md"}
    assert card == (export / "README.md").read_text().replace("path/to/this/folder", "ann/merge")
    assert 'from_pretrained("ann/merge")' in card
    assert (len(repo.commits), repo.private) == (1, True)
    assert (made.url, made.commit) == (f"{hub.url}/ann/merge", repo.head)
    assert made.nbytes == sum(map(len, there.values())) + len(card.encode())
    assert [what for _, what in told] == [
        "asking the Hub",
        "the repository is made",
        "uploading model.safetensors",
        "committing",
    ]
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert any(method == "PUT" for method, _ in hub.asked)


def test_the_base_s_tokenizer_goes_too_and_names_no_folder_of_the_machine(hub: UploadHub, copy: Path) -> None:
    beside = {"spiece.model": b"\0words", "vocab.txt": b"a\nb\n", "chat_template.jinja": b"{{ messages }}"}
    for name, data in beside.items():
        (copy / name).write_bytes(data)
    (copy / "tokenizer_config.json").write_text('{"name_or_path": "/home/ann/base", "model_max_length": 512}')
    (copy / "additional_chat_templates").mkdir()
    beside["additional_chat_templates/rag.jinja"] = b"{{ documents }}"
    (copy / "additional_chat_templates" / "rag.jinja").write_bytes(b"{{ documents }}")
    put(hub, copy)
    sent = hub.model("ann/merge").files
    assert {name: sent[name] for name in beside} == beside
    assert json.loads(sent["tokenizer_config.json"]) == {"model_max_length": 512}


def test_a_public_repository_is_made_where_nothing_else_is_said(hub: UploadHub, copy: Path) -> None:
    put(hub, copy)
    assert hub.model("ann/merge").private is False


def test_what_is_there_is_not_overwritten_unasked(hub: UploadHub, copy: Path) -> None:
    hub.repos["models", "ann/merge"] = Repo(False, {}, {"model.safetensors": b"precious"})
    said = sentence(hub, copy)
    assert said.startswith("ann/merge: a new repository is published to, but one that holds 1 file came")
    assert hub.model("ann/merge").files == {"model.safetensors": b"precious"}
    assert [method for method, _ in hub.asked] == ["GET"]


def test_an_empty_repository_counts_as_a_new_one(hub: UploadHub, copy: Path) -> None:
    hub.repos["models", "ann/merge"] = Repo(False, {})
    assert put(hub, copy).removed == ()
    assert "model.safetensors" in hub.model("ann/merge").files


def test_told_to_it_changes_one_that_exists_and_takes_old_weights_out(hub: UploadHub, copy: Path) -> None:
    old = {"model-00001-of-00002.safetensors": b"1", "model.safetensors.index.json": b"{}", "notes.txt": b"mine"}
    hub.repos["models", "ann/merge"] = Repo(False, {}, dict(old))
    made = put(hub, copy, create=False)
    assert made.removed == ("model-00001-of-00002.safetensors", "model.safetensors.index.json")
    there = hub.model("ann/merge").files
    assert there["notes.txt"] == b"mine"
    assert not set(made.removed) & set(there)


def test_a_pull_request_leaves_the_repository_as_it_is(hub: UploadHub, copy: Path) -> None:
    hub.repos["models", "bob/model"] = Repo(False, {}, {"model.safetensors": b"his"})
    made = put(hub, copy, "bob/model", as_pull_request=True)
    repo = hub.model("bob/model")
    assert (made.url, made.pull_request) == (f"{hub.url}/bob/model/discussions/1", True)
    assert (repo.files, len(repo.commits)) == ({"model.safetensors": b"his"}, 0)
    assert repo.proposals[0]["model.safetensors"] == b"\0weights"


def test_only_what_exists_can_be_changed_or_proposed_to(hub: UploadHub, copy: Path) -> None:
    for changes in ({"create": False}, {"as_pull_request": True}):
        assert "the repository exists and the token may see it" in sentence(hub, copy, **changes)
    assert hub.repos == {}


def test_another_commit_in_the_meantime_is_not_overwritten(hub: UploadHub, copy: Path) -> None:
    hub.repos["models", "ann/merge"] = Repo(False, {}, {"a.txt": b"a"})

    def meanwhile(repo: Repo) -> None:
        repo.files = {**repo.files, "b.txt": b"b"}

    hub.before_commit = meanwhile
    assert "nobody else changes the repository meanwhile" in sentence(hub, copy, create=False)
    assert hub.model("ann/merge").files == {"a.txt": b"a", "b.txt": b"b"}


def test_cancelled_it_leaves_at_most_an_empty_repository_and_goes_on_later(hub: UploadHub, export: Path) -> None:
    stop, left = threading.Event(), []
    with pytest.raises(CancelledError) as before:
        put(hub, export, cancelled=lambda: True, leaves=left.append)
    assert len(before.value.problems) == 1 and hub.repos == {} and left == []
    with pytest.raises(CancelledError) as after:
        watch = {"progress": lambda share, what: "uploading" in what and stop.set(), "cancelled": stop.is_set}
        put(hub, export, leaves=left.append, **watch)
    assert set(hub.model("ann/merge").files) == {".gitattributes"}
    assert str(after.value.problems[-1]) == LEFT and left == [after.value.problems[-1]]
    put(hub, export)
    assert "model.safetensors" in hub.model("ann/merge").files


@pytest.mark.parametrize(
    ("licence", "why"),
    [
        ("unknown", "none that is known"),
        ("other", "none that is known"),
        ("cc-by-nd-4.0", "cc-by-nd-4.0, which forbids derivatives,"),
        ("cc-by-nc-nd-4.0", "cc-by-nc-nd-4.0, which forbids derivatives,"),
        ("cc-by-nc-4.0", "cc-by-nc-4.0, which forbids commercial use,"),
        ("fair-noncommercial-research-license", "which forbids commercial use,"),
    ],
)
def test_a_licence_that_does_not_allow_it_is_named_before_anything_is_asked(
    hub: UploadHub, copy: Path, licence: str, why: str
) -> None:
    relicense(copy, licence)
    said = sentence(hub, copy)
    assert said.startswith("zoo:tiny/digits: the licence of each part lets a merge be published, but")
    assert why in said
    assert hub.asked == []


@pytest.mark.parametrize("licence", ["mit", "cc-by-sa-4.0", "openrail", "llama3"])
def test_other_terms_are_left_to_whoever_publishes(hub: UploadHub, copy: Path, licence: str) -> None:
    relicense(copy, licence)
    assert put(hub, copy).files


def test_a_licence_that_is_named_explicitly_stands_in_the_card(hub: UploadHub, copy: Path) -> None:
    relicense(copy, "cc-by-nc-4.0")
    put(hub, copy, licence_override="cc-by-nc-4.0")
    card = hub.model("ann/merge").files["README.md"].decode()
    assert card.startswith("---\nlicense: cc-by-nc-4.0\nlibrary_name: transformers\n")
    exported = (copy / "README.md").read_text().replace("path/to/this/folder", "ann/merge")
    assert card.partition("\n# ")[2] == exported.partition("\n# ")[2]
    assert "such as apache-2.0" in sentence(hub, copy, "ann/more", licence_override="Mine, all mine")


def test_a_part_that_the_card_is_silent_about_has_no_known_licence(hub: UploadHub, copy: Path) -> None:
    card = copy / "README.md"
    lines = card.read_text().splitlines()
    card.write_text("\n".join(line for line in lines if "| zoo:tiny/letters |" not in line) + "\n")
    assert "README.md: the licence of each part" in sentence(hub, copy)


def test_the_lineage_of_an_export_says_the_licence_of_every_part(export: Path) -> None:
    found = licences_in((export / "README.md").read_text())
    assert sorted(found) == ["zoo:tiny/base", "zoo:tiny/digits", "zoo:tiny/letters"]
    assert None not in found.values()


def test_a_folder_that_is_no_whole_export_is_refused_with_every_reason(hub: UploadHub, copy: Path) -> None:
    (copy / "recipe.json").unlink()
    (copy / ".env").write_text("HF_TOKEN=x")
    (copy / "weights.bin").write_bytes(b"")
    (copy / "link.json").symlink_to("/etc/hostname")
    with pytest.raises(CheckpointError) as caught:
        put(hub, copy)
    assert [problem.got for problem in caught.value.problems] == [
        "one without recipe.json",
        ".env, link.json, weights.bin",
    ]
    assert str(copy.parent) not in str(caught.value)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("place", "refusal", "said"),
    [
        ("/commit/", Refusal(403, {"X-Error-Message": "no"}), "the token may write there, but one that may not (403)"),
        ("/repos/create", Refusal(200, {}, {}), "the Hub answers in its own form, but something else came"),
        ("/repos/create", Refusal(409), "nothing else of this name is there"),
        ("/commit/", Refusal(429, {"RateLimit": '"api";r=0;t=7'}), "7 s"),
        ("/commit/", Refusal(503), "an error of its own (503) came; try again in a moment"),
        ("/preupload/", Refusal(500), "an error of its own (500) came; try again in a moment"),
        ("/lfs/", Refusal(502), "an error of its own (502) came; try again in a moment"),
        ("/lfs/", Refusal(400, {}, {"error": "quota"}), "the Hub accepts what is sent, but a refusal (400)"),
        ("/validate-yaml", Refusal(400, {}, {"errors": [{"message": "bad tags"}]}), "bad tags"),
    ],
)
def test_each_refusal_of_the_hub_is_one_sentence(
    hub: UploadHub, export: Path, place: str, refusal: Refusal, said: str
) -> None:
    hub.refuse[place] = refusal
    told = sentence(hub, export)
    first, *left = told.splitlines()
    assert said in first and first.startswith("ann/merge: ")
    assert left == ([LEFT] if hub.repos else [])


def test_what_is_left_is_what_is_there_and_only_of_what_was_made_in_this_very_run(hub: UploadHub, export: Path) -> None:
    hub.repos["models", "ann/mine"] = Repo(False, {})
    hub.refuse["/commit/"] = Refusal(503)
    assert "\n" not in sentence(hub, export, "ann/mine")
    hub.after_commit = Refusal(502)
    hub.refuse.clear()
    told = sentence(hub, export, "ann/lost").splitlines()
    assert "an error of its own (502)" in told[0] and "look at it before you publish again" in told[1]
    assert "model.safetensors" in hub.model("ann/lost").files
    assert not any(method == "DELETE" for method, _ in hub.asked)


def test_where_it_cannot_be_known_what_is_left_that_is_said(hub: UploadHub, export: Path) -> None:
    def away(repo: Repo) -> None:
        hub.refuse["/"] = Refusal(503)

    hub.before_commit, hub.after_commit = away, Refusal(503)
    told = sentence(hub, export).splitlines()
    assert told[1] == LEFT.replace("it is on", "it may be on")


def test_a_repository_whose_files_the_hub_does_not_tell_is_not_taken_for_an_empty_one(
    hub: UploadHub, copy: Path
) -> None:
    hub.refuse["/api/models/ann/merge"] = Refusal(200, {}, {"id": "ann/merge", "sha": "0" * 40, "siblings": None})
    assert "the Hub says what the repository holds, but an answer without files" in sentence(hub, copy)
    hub.refuse["/api/models/ann/merge"] = Refusal(200, {}, {"id": "ann/merge", "siblings": 5, "tags": 7})
    assert "the Hub answers in its own form, but something else came" in sentence(hub, copy)
    assert {method for method, _ in hub.asked} == {"GET"}


@pytest.mark.parametrize("place", ["/api/models/", "/repos/create", "/preupload/", "/lfs/", "/commit/"])
def test_a_hub_that_falls_silent_is_not_waited_for_for_ever(hub: UploadHub, export: Path, place: str) -> None:
    hub.refuse[place] = Refusal(200, wait=60.0)
    told = sentence(hub, export, silence=0.4)
    first, *left = told.splitlines()
    assert first.startswith("ann/merge: ") and "answer" in first
    assert left == ([LEFT] if hub.repos else [])
    assert not any(path.endswith("model.safetensors") for repo in hub.repos.values() for path in repo.files)


def test_a_token_that_is_missing_or_unknown_is_said(hub: UploadHub, copy: Path) -> None:
    for token in (None, ""):
        with pytest.raises(HubError, match="a token of the Hub is given, but none came"):
            publish(copy, "ann/merge", token, endpoint=hub.url)
    assert hub.asked == []
    with pytest.raises(HubError, match="the token is one that the Hub knows") as caught:
        publish(copy, "ann/merge", "hf_wrongwrongwrong", endpoint=hub.url)
    assert "hf_wrong" not in str(caught.value)


def test_somebody_elses_name_is_refused(hub: UploadHub, copy: Path) -> None:
    assert "the token may write there" in sentence(hub, copy, "bob/merge")


@pytest.mark.parametrize("name", ["", "a/b/c", "ann/..", "<img>", "ann/" + "x" * 200])
def test_a_name_that_is_none_is_refused_before_anything_is_asked(hub: UploadHub, copy: Path, name: str) -> None:
    assert "a repository is named owner/name" in sentence(hub, copy, name)
    assert hub.asked == []


def test_a_hub_that_cannot_be_reached_is_said(copy: Path, hub: UploadHub) -> None:
    hub.stop()
    assert "the Hub can be reached, but no connection came" in sentence(hub, copy)


def test_whoever_interrupts_the_command_is_told_what_is_left(
    hub: UploadHub, copy: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("merging_core.hub.publish._commit", interrupted)
    assert main(["publish", str(copy), "ann/merge"]) == 130
    assert capfd.readouterr().err.rstrip().endswith(LEFT)


def test_the_command_publishes_and_answers_in_json(
    hub: UploadHub, copy: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["publish", str(copy), "ann/merge", "--private", "--json"]) == 0
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert document["url"] == f"{hub.url}/ann/merge" and document["commit"] == hub.model("ann/merge").head
    assert hub.model("ann/merge").private
    assert main(["publish", str(copy), "ann/merge"]) == 2
    assert "a new repository is published to" in capfd.readouterr().err
    assert main(["publish", str(copy), "ann/merge", "--pull-request"]) == 0
    assert "discussions/1" in capfd.readouterr().out
    monkeypatch.delenv("HF_TOKEN")
    assert main(["publish", str(copy), "ann/merge", "--existing"]) == 2
    assert "a token of the Hub is given" in capfd.readouterr().err
    assert TOKEN not in out + err

"""What is known before a download: commit, files, configuration and headers, checked as those of a local file are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from merging_core.checkpoints import Catalog, open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.checkpoints.writer import write_checkpoint
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import make_plan
from merging_core.errors import CheckpointError, HubError, PlanError, SpaceError
from merging_core.hub.access import Memory
from merging_core.recipes import parse_recipe
from merging_core.recipes.resolving import references, resolve
from tests.hub.conftest import CONFIG, Visit, files, weights
from tests.hub.server import FakeHub, folder_files

RECIPE = {
    "version": 1,
    "base": "hub:ada/base",
    "models": [{"ref": "hub:ada/digits"}, {"ref": "hub:ada/letters@main"}],
    "method": {"name": "task_arithmetic"},
}


def local(folder: Path, shift: float) -> Path:
    folder.mkdir()
    for name, data in files(shift).items():
        (folder / name).write_bytes(data)
    return folder


def test_headers_on_the_hub_say_what_the_files_say(fake: FakeHub, visit: Visit, tmp_path: Path) -> None:
    folder = local(tmp_path / "digits", 0.5)
    there, here = visit().open("hub:ada/digits"), open_checkpoint(folder, Ref("file", str(folder)))
    assert there.leaves == here.leaves and list(there.leaves) == list(here.leaves)
    assert (there.config, there.nbytes, there.dtypes) == (here.config, here.nbytes, here.dtypes)
    assert there.ref.commit == fake.models["ada/digits"].branches["main"]


def test_a_survey_reads_headers_by_ranges_and_leaves_nothing_in_the_cache(fake: FakeHub, visit: Visit) -> None:
    large = {"w": torch.zeros(1 << 18), "b": torch.zeros(3)}
    fake.add("ada/large", {"model.safetensors": save(large), "config.json": b"{}"})
    hub = visit()
    survey = hub.survey("hub:ada/large")
    (asked,) = fake.asked("model.safetensors")
    assert asked.range == "bytes=0-65535"
    assert survey.elements == (1 << 18) + 3
    assert not hub.cache.exists()
    assert hub.missing_bytes(survey.ref) == survey.nbytes == sum(map(len, fake.models["ada/large"].commits[
        survey.ref.commit or ""].values()))  # fmt: skip


def test_a_long_header_takes_a_second_range_and_no_more(fake: FakeHub, visit: Visit) -> None:
    many = {f"blocks.{index}.attention.projection.weight": torch.zeros(1) for index in range(1200)}
    fake.add("ada/many", {"model.safetensors": save(many)})
    assert visit().survey("hub:ada/many").elements == 1200
    assert len(fake.asked("model.safetensors")) == 2


@pytest.mark.parametrize("shape", ["few", "many"])
def test_a_server_that_ignores_ranges_gives_the_same(fake: FakeHub, visit: Visit, shape: str) -> None:
    tensors = {f"blocks.{index}.attention.projection.weight": torch.zeros(9) for index in range(1200)}
    fake.add("ada/many", {"model.safetensors": save(tensors if shape == "many" else weights())})
    fake.fail("norange", "resolve")
    assert visit().survey("hub:ada/many").elements == (10800 if shape == "many" else 23)


def test_shards_are_read_like_one_file(fake: FakeHub, visit: Visit, tmp_path: Path) -> None:
    whole = open_checkpoint(local(tmp_path / "a", 0.0), Ref("file", "a"))
    leaves = ((name, whole.read(name)) for name in whole.leaves)
    write_checkpoint(tmp_path / "b", leaves, list(whole.leaves.values()), CONFIG, shard_bytes=1024)
    many = {f"layers.{index}.weight": torch.full((300,), float(index)) for index in range(6)}
    one = tmp_path / "one"
    one.mkdir()
    (one / "model.safetensors").write_bytes(save(many))
    big = open_checkpoint(one, Ref("file", "one"))
    split = ((name, big.read(name)) for name in big.leaves)
    folder = write_checkpoint(tmp_path / "c", split, list(big.leaves.values()), {}, shard_bytes=2400)
    fake.add("ada/shards", folder_files(folder))
    hub = visit()
    there = hub.open("hub:ada/shards")
    assert len(there.files) > 2
    assert {name: leaf.shape for name, leaf in there.leaves.items()} == {f"layers.{i}.weight": (300,) for i in range(6)}
    hub.download(there.ref)
    opened = hub.open(there.ref)
    assert opened.content() == big.content() == opened.compute_content()


def test_an_index_cannot_lead_out_of_the_repository(fake: FakeHub, visit: Visit) -> None:
    index = {"weight_map": {"w": "../../etc/passwd.safetensors"}}
    fake.add("ada/out", {"model.safetensors.index.json": json.dumps(index).encode()})
    with pytest.raises(CheckpointError, match="hub:ada/out@.*: a shard is a file name ending in .safetensors"):
        visit().survey("hub:ada/out")
    index = {"weight_map": {"w": "model-00001-of-00001.safetensors"}}
    fake.add("ada/hole", {"model.safetensors.index.json": json.dumps(index).encode()})
    with pytest.raises(CheckpointError, match="every shard of the index is in the repository, but no such file"):
        visit().survey("hub:ada/hole")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["pytorch_model.bin", "config.json"],
            "only 'pytorch_model.bin' came; pickles can run code and are never loaded",
        ),
        (["adapter_model.safetensors"], "only 'adapter_model.safetensors' came; only whole models can be merged"),
        (["README.md"], "a repository without weights came"),
        (["unet/model.safetensors"], "a repository without weights came"),
    ],
)
def test_a_repository_without_our_weights_says_what_it_has(
    fake: FakeHub, visit: Visit, names: list[str], said: str
) -> None:
    fake.add("ada/other", dict.fromkeys(names, b"\x80\x04payload"))
    with pytest.raises(CheckpointError) as refused:
        visit().survey("hub:ada/other")
    assert said in str(refused.value) and str(refused.value).startswith("hub:ada/other@")
    assert fake.asked("/resolve/") == []


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("model.safetensors", b"\x80\x04" + bytes(40), "only safetensors files are accepted, but a pickle"),
        ("model.safetensors", b"", "a safetensors file has at least 10 bytes, but 0 bytes"),
        ("model.safetensors", (2**63).to_bytes(8, "little") + b"{}", "the header length is at most 16777216 bytes"),
        ("model.safetensors", save(weights())[:-1], "it is truncated"),
        ("config.json", b"[1]", "the file holds one JSON object, but a list came"),
        ("config.json", b"<html>", "the text is JSON"),
        ("config.json", b"{" + b" " * (1 << 20) + b"}", "the file has at most 1,048,576 bytes"),
    ],
    ids=["pickle", "empty", "length", "cut", "list", "page", "long"],
)
def test_a_file_that_is_not_what_it_should_be_is_found_before_a_download(
    fake: FakeHub, visit: Visit, name: str, data: bytes, said: str
) -> None:
    fake.add("ada/bad", files() | {name: data})
    with pytest.raises((CheckpointError, HubError)) as refused:
        visit().survey("hub:ada/bad")
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"hub:ada/bad@{fake.models['ada/bad'].branches['main'][:7]}: {name}")


def test_sizes_that_the_first_answer_leaves_out_are_asked_for(fake: FakeHub, visit: Visit) -> None:
    whole = visit().survey("hub:ada/digits")
    fake.tells_sizes = False
    again = visit(memory=type(visit().memory)()).survey("hub:ada/digits")
    assert again == whole and len(fake.asked("/tree/")) == 1


def test_where_there_is_no_tree_each_file_says_its_own_size_and_digest(fake: FakeHub, visit: Visit) -> None:
    whole = visit().survey("hub:ada/digits")
    fake.tells_sizes = False
    fake.fail("404", "tree")
    hub = visit(memory=type(visit().memory)())
    assert hub.survey("hub:ada/digits").headers == whole.headers
    fake.fail("corrupt", "resolve", match="model.safetensors")
    with pytest.raises(HubError, match="the file's sha256 begins with"):
        hub.download(whole.ref)


def test_an_answer_in_chunks_of_no_length_is_read(fake: FakeHub, visit: Visit) -> None:
    fake.fail("chunked", "resolve")
    folder = visit().download("hub:ada/digits")
    assert (folder / "model.safetensors").read_bytes() == files(0.5)["model.safetensors"]


def test_a_branch_is_resolved_once_and_what_follows_keeps_the_commit(fake: FakeHub, visit: Visit) -> None:
    hub = visit()
    pinned = hub.pin("hub:ada/digits@main")
    fake.models["ada/digits"].commit(files(9.0))
    assert hub.pin("hub:ada/digits").commit != pinned.commit
    hub.download(pinned)
    assert torch.equal(hub.open(pinned).read("layers.0.bias"), weights(0.5)["layers.0.bias"])
    assert hub.pin(pinned) == pinned


def test_weights_cannot_be_read_before_they_are_here(visit: Visit) -> None:
    checkpoint = visit().open("hub:ada/digits")
    for read in (lambda: checkpoint.read("layers.0.bias"), checkpoint.content, checkpoint.compute_content):
        with pytest.raises(CheckpointError, match="hub:ada/digits@.*headers only came; download it first"):
            read()


def test_a_model_that_is_too_large_is_refused_by_its_headers(fake: FakeHub, visit: Visit) -> None:
    survey = visit().survey("hub:ada/digits")
    hub = visit(largest=survey.nbytes - 1)
    for ask in (hub.survey, hub.open, hub.download):
        with pytest.raises(HubError, match=f"a model has at most {survey.nbytes - 1:,} bytes here, but"):
            ask(survey.ref)
    assert visit(largest=survey.nbytes).survey(survey.ref) == survey


def test_a_plan_needs_no_download_and_its_hash_is_known(fake: FakeHub, visit: Visit, tmp_path: Path) -> None:
    hub = visit()
    catalog = Catalog(load_zoo(), allow_files=True, hub=hub)
    recipe = resolve(parse_recipe(RECIPE), catalog.pin).recipe
    commits = [fake.models[f"ada/{name}"].branches["main"] for name in ("base", "digits", "letters")]
    assert references(recipe) == tuple(
        f"hub:ada/{name}@{commit}" for name, commit in zip(("base", "digits", "letters"), commits, strict=True)
    )
    plan = make_plan(recipe, catalog)
    assert plan.unidentified == () and len(plan.hash) == 64 and plan.as_json()["hash"] == plan.hash
    assert [model["ref"] for model in plan.as_json()["models"]] == list(references(recipe))
    assert not hub.cache.exists()
    names = {"base": 0.0, "digits": 0.5, "letters": -0.25}
    folders = {name: f"file:{local(tmp_path / name, shift)}" for name, shift in names.items()}
    same = {**RECIPE, "base": folders["base"], "models": [{"ref": folders["digits"]}, {"ref": folders["letters"]}]}
    assert make_plan(parse_recipe(same), catalog).outputs == plan.outputs
    catalog.fetch(references(recipe))
    assert make_plan(recipe, catalog).hash == plan.hash


def test_everything_wrong_with_models_on_the_hub_is_told_at_once(fake: FakeHub, visit: Visit) -> None:
    other = save({"layers.0.bias": torch.zeros(4), "more": torch.zeros(1)})
    fake.add("ada/other", files() | {"model.safetensors": other})
    catalog = Catalog(load_zoo(), hub=visit())
    with pytest.raises(SpaceError) as refused:
        make_plan(parse_recipe({**RECIPE, "models": [{"ref": "hub:ada/other"}]}), catalog)
    assert len(refused.value.problems) >= 3 and fake.asked("model.safetensors")[-1].range is not None
    fake.add("ada/gated", files(), gated=True)
    fake.add("ada/pickle", {"pytorch_model.bin": b"1"})
    names = ("none", "gated", "pickle", "digits", "digits@nowhere", "other")
    asked = {**RECIPE, "base": "hub:ada/no", "models": [{"ref": f"hub:ada/{name}"} for name in names]}
    found = resolve(parse_recipe(asked), catalog.pin)
    with pytest.raises(PlanError) as told:
        make_plan(found.recipe, catalog, found.refusals)
    said = {problem.where.split(":")[0]: str(problem) for problem in told.value.problems}
    assert list(said)[:5] == ["base", "models[0]", "models[1]", "models[2]", "models[4]"]
    assert "nothing of that name" in said["base"] and "nothing of that name" in said["models[0]"]
    assert "gated model" in said["models[1]"] and "pickles can run code" in said["models[2]"]
    assert "the revision exists" in said["models[4]"] and "ada/other" in str(told.value)


@pytest.mark.parametrize("siblings", [None, 7, ["model.safetensors"], [{"rfilename": "model.safetensors", "lfs": 7}]])
def test_files_that_cannot_be_read_where_they_are_told_are_those_of_the_tree(
    fake: FakeHub, visit: Visit, siblings: object
) -> None:
    fake.add("ada/strange", files(), siblings=siblings)
    survey = visit().survey("hub:ada/strange")
    assert survey.elements == 23 and all(file.sha256 or file.blob for file in survey.files)
    fake.fail("404", "tree")
    if not isinstance(siblings, list) or isinstance(siblings[0], str):
        with pytest.raises(HubError, match=r"^hub:ada/strange@?\w*: .* list of files cannot be read"):
            visit(memory=Memory()).survey("hub:ada/strange")


@pytest.mark.parametrize("about", [{"sha": 7}, {"sha": None}, {"sha": "main"}])
def test_a_repository_whose_commit_cannot_be_read_is_named(
    fake: FakeHub, visit: Visit, about: dict[str, object]
) -> None:
    fake.add("ada/strange", files(), **about)
    with pytest.raises(HubError, match=r"^hub:ada/strange: the answer comes from the Hub, but an answer without a com"):
        visit().survey("hub:ada/strange")


def test_without_a_hub_a_reference_to_it_is_refused(visit: Visit) -> None:
    with pytest.raises(CheckpointError, match="checkpoints from the Hub are not available here"):
        Catalog(load_zoo()).open("hub:ada/digits")
    with pytest.raises(CheckpointError, match="the reference is one of the Hub, but zoo: came"):
        visit().open("zoo:tiny/base")


def test_two_revisions_of_one_model_can_be_merged(fake: FakeHub, visit: Visit) -> None:
    first = fake.models["ada/digits"].branches["main"]
    second = fake.models["ada/digits"].commit(files(0.75), branch="later")
    models = [{"ref": f"hub:ada/digits@{first}"}, {"ref": "hub:ada/digits@later"}]
    catalog = Catalog(load_zoo(), hub=visit())
    recipe = resolve(parse_recipe({**RECIPE, "models": models}), catalog.pin).recipe
    assert [expert.ref.commit for expert in make_plan(recipe, catalog).survey.experts] == [first, second]


def test_tied_leaves_are_told_once_before_a_download_as_after_it(fake: FakeHub, visit: Visit) -> None:
    embedding = torch.arange(6.0).view(3, 2)
    twice = {
        "model.embed_tokens.weight": embedding,
        "lm_head.weight": embedding.clone(),
        "model.norm.weight": torch.ones(2),
    }
    config = json.dumps({"model_type": "gemma"}).encode()
    fake.add("ada/twice", {"model.safetensors": save(twice), "config.json": config})
    there = visit().open("hub:ada/twice")
    assert list(there.leaves) == ["model.embed_tokens.weight", "model.norm.weight"]
    hub = visit()
    hub.download(there.ref)
    here = hub.open(there.ref)
    assert here.leaves == there.leaves and here.twins == there.twins and len(here.twins) == 1
    here.check_twins()

"""The checkpoints of the zoo load in transformers, and score and bar the way the manifest says."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors import safe_open

from assets.build import basins, strangers
from assets.build.finetune import finetune
from assets.build.randomness import fix_execution
from assets.build.scores import Score, score
from assets.build.settings import Settings
from assets.build.store import content_digest, read_head, read_mlp, read_vision
from assets.build.taskfiles import read_task
from assets.build.tasks import tiny_tasks
from assets.build.vision import prototypes
from merging_core.checkpoints.zoo import Zoo, load_zoo


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return load_zoo()


@pytest.fixture(scope="module")
def manifest(zoo: Zoo) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((zoo.root / "manifest.json").read_text(encoding="utf-8"))
    return found


def tiny_paths() -> list[str]:
    """Return the checkpoints of the tiny family."""
    return [path for path in load_zoo().checkpoints if path.startswith("tiny/")]


@pytest.mark.parametrize("path", tiny_paths())
def test_transformers_loads_it_without_a_warning(path: str, zoo: Zoo, caplog: pytest.LogCaptureFixture) -> None:
    from transformers import CLIPVisionModel

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, info = CLIPVisionModel.from_pretrained(zoo.folder(path), output_loading_info=True)
    assert not any(info.values())
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert sum(parameter.numel() for parameter in model.parameters()) == zoo.checkpoint(path).parameters
    with safe_open(zoo.folder(path) / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(model.state_dict())


def test_saving_it_again_gives_the_same_content(zoo: Zoo, tmp_path: Any) -> None:
    read_vision(zoo.folder("tiny/base")).save_pretrained(tmp_path)
    assert content_digest(tmp_path / "model.safetensors")[0] == zoo.content("tiny/base")


@pytest.mark.parametrize("path", ["tiny/base", "tiny/digits", "tiny/shapes"])
def test_accuracies_are_those_of_the_manifest(path: str, zoo: Zoo) -> None:
    """Within two images: another processor may round a near tie the other way."""
    model = read_vision(zoo.folder(path))
    for name in ("tiny/digits", "tiny/shapes"):
        folder = zoo.task_folder(name)
        task, head = read_task(folder), read_head(folder)
        for split in ("validation", "test"):
            noted = zoo.accuracies[path][name][split]
            found = score(model, task, head, split)
            assert found.n == noted.n
            assert abs(found.right - noted.accuracy * noted.n) <= 2


def test_prototypes_are_the_mean_features_of_the_base_on_train(zoo: Zoo) -> None:
    folder = zoo.task_folder("tiny/digits")
    train = read_task(folder).splits["train"]
    again = prototypes(read_vision(zoo.folder("tiny/base")), train.images, train.labels, 10)
    assert torch.allclose(again, read_head(folder), atol=1e-5)


def test_experts_beat_the_base_on_their_own_task(zoo: Zoo) -> None:
    tiny = zoo.family("tiny")
    for expert, task in tiny.expert_task.items():
        for split in ("validation", "test"):
            own = zoo.accuracies[expert.removeprefix("zoo:")][task][split].accuracy
            assert own > zoo.accuracies[tiny.base.removeprefix("zoo:")][task][split].accuracy + 0.1


def test_there_is_no_barrier_between_siblings_and_a_high_one_to_strangers(zoo: Zoo, manifest: dict[str, Any]) -> None:
    task = read_task(zoo.task_folder("basins/digits"))
    names = ("start", "left", "right", "stranger-1", "stranger-2")
    models = {name: read_mlp(zoo.folder(f"basins/{name}")) for name in names}
    found = basins.barriers(models, task)
    for row, noted in zip(found, manifest["barriers"], strict=True):
        assert row["between"] == noted["between"]
        siblings = row["between"] == ["zoo:basins/left", "zoo:basins/right"]
        for split in ("train", "validation"):
            assert row[split] == pytest.approx(noted[split], abs=2e-3)
            height = noted[split]["loss_barrier"]
            assert height < 0.01 if siblings else height > 0.5


@pytest.mark.parametrize("path", [f"{family}/{name}" for family in strangers.FAMILIES for name in strangers.NAMES])
def test_strangers_score_as_the_manifest_says_and_are_small(path: str, zoo: Zoo) -> None:
    """Within two images: another processor may round a near tie the other way."""
    task, net = read_task(zoo.task_folder(strangers.TASK)), strangers.read_net(Settings(), zoo.folder(path))
    for split in ("validation", "test"):
        noted, found = zoo.accuracies[path][strangers.TASK][split], strangers.score_net(net, task, split)
        assert found.n == noted.n and noted.accuracy > 0.95
        assert abs(found.right - noted.accuracy * noted.n) <= 2
    assert (zoo.folder(path) / "model.safetensors").stat().st_size < 300_000


@pytest.mark.parametrize("family", strangers.FAMILIES)
def test_training_strangers_again_begins_with_the_same_steps(family: str, zoo: Zoo) -> None:
    few = replace(Settings(), conv_steps=6, vit_steps=6)
    task = read_task(zoo.task_folder(strangers.TASK))
    first, again = (strangers.train_all(family, task, few) for _ in range(2))
    for name, net in first.items():
        leaves = again[name].state_dict()
        assert all(torch.equal(leaf, leaves[key]) for key, leaf in net.state_dict().items())
        assert set(strangers.read_net(Settings(), zoo.folder(f"{family}/{name}")).state_dict()) == set(leaves)
    drawn = [next(iter(net.state_dict().values())) for net in first.values()]
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[1], drawn[2])


def test_wilson_intervals_are_those_of_the_textbook() -> None:
    low, high = Score(81, 263).interval()
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.slow
def test_fine_tuning_again_gives_the_same_accuracy(zoo: Zoo, manifest: dict[str, Any]) -> None:
    """The whole fine-tuning of one expert is run again, with the build's seed and from the embedded base and head."""
    threads = torch.get_num_threads()
    settings = Settings()
    assert settings.as_json().items() <= manifest["build"].items()
    folder = zoo.task_folder("tiny/shapes")
    task, head = read_task(folder), read_head(folder)
    info = next(info for info in tiny_tasks() if info.name == "shapes")
    try:
        fix_execution(settings.threads)
        expert = finetune(read_vision(zoo.folder("tiny/base")), info, head, settings)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
    for split in ("validation", "test"):
        noted = zoo.accuracies["tiny/shapes"]["tiny/shapes"][split]
        assert score(expert, task, head, split).accuracy == pytest.approx(noted.accuracy, abs=1e-6)

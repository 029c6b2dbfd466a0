"""Zero-shot heads are what transformers' own CLIP answers, whatever layout the vision tower has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel, CLIPVisionModel, CLIPVisionModelWithProjection

from merging_core.checkpoints import open_checkpoint, parse_ref
from merging_core.checkpoints.reader import Checkpoint
from merging_core.errors import CancelledError, EvaluationError
from merging_core.evaluation import zero_shot
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.heads import PrototypeHead
from merging_core.evaluation.prompt_templates import TEMPLATES, templates_for
from merging_core.evaluation.tasks import Split, Task
from merging_core.evaluation.zero_shot import zero_shot_head
from tests.evaluation.models import WORDS, config_of, made, saved, write_tokenizer

NAMES, PROMPTS = ("cat", "dog", "red owl"), ("a photo of a {}.", "the {}", "a big {} sees the photo.")
TEXT = {"vocab_size": len(WORDS), "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2,
        "num_attention_heads": 3, "max_position_embeddings": 16, "eos_token_id": 2, "bos_token_id": 1}  # fmt: skip
VISION = {"hidden_size": 15, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 8,
          "patch_size": 4, "projection_dim": 9}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole CLIP, with a tokenizer whose last token has the highest number, as CLIP's has."""
    where = tmp_path_factory.mktemp("clip")
    config = CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=9)
    saved(made(CLIPModel, config), where)
    write_tokenizer(where)
    return where


def opened(folder: Path) -> Checkpoint:
    return open_checkpoint(folder, parse_ref(f"file:{folder}"))


def model_of(folder: Path) -> CLIPModel:
    config = CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=9)
    model = made(CLIPModel, config)
    assert torch.equal(model.logit_scale, load_file(folder / "model.safetensors")["logit_scale"])
    return model


def prototypes_by_transformers(folder: Path, names: tuple[str, ...], prompts: tuple[str, ...]) -> torch.Tensor:
    from tokenizers import Tokenizer

    model, tokenizer, rows = model_of(folder), Tokenizer.from_file(str(folder / "tokenizer.json")), []
    with torch.inference_mode():
        for name in names:
            each = []
            for prompt in prompts:
                ids = torch.tensor([tokenizer.encode(prompt.format(name)).ids])
                feature = model.text_projection(model.text_model(input_ids=ids).pooler_output)[0].double()
                each.append(feature / feature.norm())
            mean = torch.stack(each).mean(0)
            rows.append(mean / mean.norm())
    return torch.stack(rows)


@pytest.mark.parametrize("eos", [2, 15])
def test_prototypes_are_normalised_means_of_normalised_text_features(eos: int, folder: Path, tmp_path: Path) -> None:
    config = CLIPConfig(text_config=TEXT | {"eos_token_id": eos}, vision_config=VISION, projection_dim=9)
    saved(made(CLIPModel, config), tmp_path)
    write_tokenizer(tmp_path)
    if eos == 15:  # the text ends with the token of the highest number, and the configuration says which it is
        said = json.loads((tmp_path / "tokenizer.json").read_text())
        said["post_processor"]["special_tokens"]["</s>"]["ids"] = [15]
        (tmp_path / "tokenizer.json").write_text(json.dumps(said))
    head = zero_shot_head(opened(tmp_path), NAMES, PROMPTS)
    model = made(CLIPModel, config).double()
    from tokenizers import Tokenizer

    tokenizer, rows = Tokenizer.from_file(str(tmp_path / "tokenizer.json")), []
    with torch.inference_mode():
        for name in NAMES:
            ids = [torch.tensor([tokenizer.encode(prompt.format(name)).ids]) for prompt in PROMPTS]
            each = [model.text_projection(model.text_model(input_ids=one).pooler_output)[0] for one in ids]
            mean = torch.stack([one / one.norm() for one in each]).mean(0)
            rows.append(mean / mean.norm())
    torch.testing.assert_close(head.prototypes.double(), torch.stack(rows), rtol=1e-4, atol=1e-5)
    assert head.scale == pytest.approx(float(model.logit_scale.detach().exp()))
    assert head.projection is not None and torch.equal(head.projection, model.visual_projection.weight.float())


def task_with(head: PrototypeHead, n: int = 20) -> Task:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, 3, 8, 8), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.arange(n) % 3, "zero-shot")
    return Task("z", "Z", "", NAMES, 8, 3, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), head, {"validation": split}, "", "")


def files_of(folder: Path, form: str, where: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The same vision tower in one of the layouts that are found in repositories."""
    model = model_of(folder)
    if form == "CLIPModel":
        return config_of(folder), load_file(folder / "model.safetensors")
    if form == "with projection":
        tower = CLIPVisionModelWithProjection(model.config.vision_config).eval()
        tower.load_state_dict({name: leaf for name, leaf in model.state_dict().items() if name in tower.state_dict()})
        saved(tower, where)
        return config_of(where), load_file(where / "model.safetensors")
    tower = CLIPVisionModel(model.config.vision_config).eval()
    tower.load_state_dict(model.vision_model.state_dict())
    saved(tower, where)
    leaves = load_file(where / "model.safetensors")
    if form == "old names":
        leaves = {f"vision_model.{name}": leaf for name, leaf in leaves.items()}
        leaves["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    return config_of(where), leaves


@pytest.mark.parametrize("form", ["CLIPModel", "with projection", "new names", "old names"])
def test_every_layout_of_a_tower_answers_what_clip_answers(form: str, folder: Path, tmp_path: Path) -> None:
    task = task_with(zero_shot_head(opened(folder), NAMES, PROMPTS))
    config, leaves = files_of(folder, form, tmp_path)
    evaluator = Evaluator(workers=1)
    report = evaluator.evaluate(config, leaves, [task])
    model, images = model_of(folder), task.pixels(task.splits["validation"].images)
    with torch.inference_mode():
        features = model.visual_projection(model.vision_model(pixel_values=images).pooler_output).double()
        text = prototypes_by_transformers(folder, NAMES, PROMPTS)
        logits = float(model.logit_scale.detach().exp()) * (features / features.norm(dim=1, keepdim=True)) @ text.T
    labels = task.labels("validation")
    nats = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    score, order = report.tasks[0], torch.tensor(task.splits["validation"].order)
    assert score.correct.tolist() == (logits.argmax(1) == labels)[order].tolist()
    torch.testing.assert_close(torch.tensor(score.losses).double(), nats[order], rtol=1e-4, atol=1e-4)


def test_a_head_is_kept_by_what_it_was_made_of(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = zero_shot_head(opened(folder), NAMES, PROMPTS, cache=tmp_path)
    kept = list(tmp_path.iterdir())
    assert len(kept) == 1 and kept[0].suffix == ".safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(zero_shot, "_prototypes", lambda *rest: pytest.fail("it was computed again"))
        again = zero_shot_head(opened(folder), NAMES, PROMPTS, cache=tmp_path)
    assert torch.equal(first.prototypes, again.prototypes) and first.scale == again.scale
    zero_shot_head(opened(folder), NAMES[:2], PROMPTS, cache=tmp_path)
    zero_shot_head(opened(folder), NAMES, PROMPTS[:1], cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_another_text_tower_is_another_head_but_another_vision_tower_is_not(folder: Path, tmp_path: Path) -> None:
    leaves = load_file(folder / "model.safetensors")
    for name, changed in (("vision", "vision_model.post_layernorm.bias"), ("text", "text_projection.weight")):
        where = tmp_path / name
        where.mkdir()
        save_file({**leaves, changed: leaves[changed] + 1}, where / "model.safetensors")
        for file in ("config.json", "tokenizer.json"):
            (where / file).write_bytes((folder / file).read_bytes())
    cache = tmp_path / "cache"
    for where in (folder, tmp_path / "vision", tmp_path / "text"):
        zero_shot_head(opened(where), NAMES, PROMPTS, cache=cache)
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_file_in_the_cache_is_made_again(folder: Path, tmp_path: Path) -> None:
    first = zero_shot_head(opened(folder), NAMES, PROMPTS, cache=tmp_path)
    next(tmp_path.iterdir()).write_bytes(b"broken")
    assert torch.equal(zero_shot_head(opened(folder), NAMES, PROMPTS, cache=tmp_path).prototypes, first.prototypes)


@pytest.mark.parametrize(
    ("names", "templates", "sentence"),
    [
        (("cat",), PROMPTS, "a head has at least two classes, but 1 came"),
        (NAMES, (), "there is a prompt template, but none came"),
        (NAMES, ("a photo",), "a template has one {} for the name"),
        (NAMES, ("{} {0.__class__}",), "a template has one {} for the name"),
        (NAMES, ("a {} " + "big " * 30,), "a prompt has 1 to 16 tokens"),
    ],
)
def test_prompts_that_cannot_be_are_refused(
    names: tuple[str, ...], templates: tuple[str, ...], sentence: str, folder: Path
) -> None:
    with pytest.raises(EvaluationError) as caught:
        zero_shot_head(opened(folder), names, templates)
    assert sentence in str(caught.value)


def test_a_model_that_is_not_a_whole_clip_is_refused(folder: Path, tmp_path: Path) -> None:
    config, leaves = files_of(folder, "new names", tmp_path)
    assert config["model_type"] == "clip_vision_model" and leaves
    with pytest.raises(EvaluationError, match="give the whole CLIP model"):
        zero_shot_head(opened(tmp_path), NAMES, PROMPTS)


def test_a_checkpoint_without_a_tokenizer_file_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    with pytest.raises(EvaluationError, match=r"tokenizer.json: the file exists, but no such file came; save the"):
        zero_shot_head(opened(tmp_path), NAMES, PROMPTS)


def test_making_a_head_can_be_stopped(folder: Path) -> None:
    with pytest.raises(CancelledError):
        zero_shot_head(opened(folder), NAMES, PROMPTS, cancelled=lambda: True)


def test_the_eight_tasks_have_their_templates() -> None:
    counts = {name: len(templates) for name, templates in TEMPLATES.items()}
    assert counts == {
        "sun397": 2, "stanford_cars": 8, "resisc45": 18, "eurosat": 3, "svhn": 1, "gtsrb": 3, "mnist": 1, "dtd": 8,
    }  # fmt: skip
    assert all(template.count("{}") == 1 for templates in TEMPLATES.values() for template in templates)
    assert TEMPLATES["resisc45"][7] == "aerial imagery of a {}." and TEMPLATES["dtd"][4] == "a photo of the {} texture."
    assert TEMPLATES["gtsrb"][2] == 'a close up photo of a "{}" traffic sign.'
    assert TEMPLATES["mnist"] == TEMPLATES["svhn"] == ('a photo of the number: "{}".',)
    assert templates_for("tanganke/Stanford-Cars")[0][3] == "i love my {}!"
    assert "the generic" in templates_for("owner/flags")[1]

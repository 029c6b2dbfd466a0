"""Pretrain the base on the pretext with a cosine classifier that is thrown away afterwards."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy, normalize
from transformers import CLIPVisionModel

from assets.build.augment import render
from assets.build.pretext import LOOK, build_pretext, draw_batch
from assets.build.randomness import torch_stream
from assets.build.settings import Settings
from assets.build.vision import features, new_model

COSINE_SCALE = 24.0
WARM_UP = 200
WEIGHT_DECAY = 0.05
SMOOTHING = 0.05
KEEP_EVERY = 100


def rate_at(step: int, steps: int, peak: float) -> float:
    """Return the learning rate of a step: linear warm-up, then a cosine to a hundredth of the peak."""
    if step < WARM_UP:
        return peak * (step + 1) / WARM_UP
    along = (step - WARM_UP) / max(1, steps - WARM_UP)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along)))


def state_file(work: Path) -> Path:
    """Return where the resumable state lies."""
    return work / "pretrain.safetensors"


def keep(path: Path, step: int, parameters: list[torch.nn.Parameter], optimiser: torch.optim.Optimizer) -> None:
    """Write parameters and moments so that the run can resume after `step`; the file appears whole or not at all."""
    tensors = {"step": torch.tensor(step)}
    for index, parameter in enumerate(parameters):
        state = optimiser.state[parameter]
        tensors |= {f"{index}.value": parameter.detach(), f"{index}.first": state["exp_avg"],
                    f"{index}.second": state["exp_avg_sq"], f"{index}.step": state["step"]}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def resume(path: Path, parameters: list[torch.nn.Parameter], optimiser: torch.optim.Optimizer) -> int:
    """Read parameters and moments back if there are any, and return the number of steps already taken."""
    if not path.exists():
        return 0
    tensors = load_file(path)
    with torch.no_grad():
        for index, parameter in enumerate(parameters):
            parameter.copy_(tensors[f"{index}.value"])
            optimiser.state[parameter] = {"exp_avg": tensors[f"{index}.first"],
                                          "exp_avg_sq": tensors[f"{index}.second"],
                                          "step": tensors[f"{index}.step"]}  # fmt: skip
    return int(tensors["step"])


def pretrain(settings: Settings, work: Path) -> CLIPVisionModel:
    """Return the pretrained base; resumes from the work folder, where it also keeps its state every 100 steps.

    Each step draws from a stream named by its number, so a resumed run is the same run.
    """
    pretext = build_pretext(settings.seed)
    print(f"pretext: {pretext.classes} classes ({pretext.glyph_classes} of glyphs), {len(pretext.masks)} masks")
    model = new_model(settings, torch_stream(settings.seed, "init"))
    start = torch.randn(pretext.classes, settings.width, generator=torch_stream(settings.seed, "classifier"))
    classifier = torch.nn.Parameter(start * 0.1)
    parameters = [*model.parameters(), classifier]
    optimiser = torch.optim.AdamW(parameters, lr=settings.pretrain_rate, weight_decay=WEIGHT_DECAY)
    first = resume(state_file(work), parameters, optimiser)
    began, right = time.monotonic(), 0.0
    for step in range(first, settings.pretrain_steps):
        stream = torch_stream(settings.seed, "pretrain", str(step))
        masks, labels = draw_batch(pretext, settings.pretrain_batch, stream)
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, settings.pretrain_horizon, settings.pretrain_rate)
        logits = COSINE_SCALE * features(model, render(masks, LOOK, stream)) @ normalize(classifier, dim=-1).T
        loss = cross_entropy(logits, labels, label_smoothing=SMOOTHING)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        right = 0.98 * right + 0.02 * float((logits.argmax(1) == labels).float().mean())
        if (step + 1) % KEEP_EVERY == 0 or step + 1 == settings.pretrain_steps:
            keep(state_file(work), step + 1, parameters, optimiser)
            pace = (time.monotonic() - began) / (step + 1 - first)
            text = f"pretrain {step + 1}: loss {loss.item():.3f}, accuracy {right:.3f}, {pace:.2f} s a step"
            print(text, flush=True)
    return model

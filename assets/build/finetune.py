"""Fine-tune the base on one task with the task's frozen prototypes as head."""

from __future__ import annotations

import copy
import math

import torch
from torch.nn.functional import cross_entropy
from transformers import CLIPVisionModel

from assets.build.randomness import torch_stream
from assets.build.settings import Settings
from assets.build.tasks import TaskInfo, paint, training_masks
from assets.build.vision import features

WARM_UP = 20


def rate_at(step: int, steps: int, peak: float) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine to zero."""
    return peak * min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))


def finetune(base: CLIPVisionModel, task: TaskInfo, head: torch.Tensor, settings: Settings) -> CLIPVisionModel:
    """Return a fine-tuned copy of `base`; `head` holds unit prototypes `[classes, width]` and stays as it is.

    Each step draws its examples and their looks from a stream named after the task and the step.
    """
    model = copy.deepcopy(base)
    masks, labels = training_masks(task, settings.seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.finetune_rate, weight_decay=0.0)
    for step in range(settings.finetune_steps):
        stream = torch_stream(settings.seed, "finetune", task.name, str(step))
        rows = torch.randint(len(masks), (settings.finetune_batch,), generator=stream)
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, settings.finetune_steps, settings.finetune_rate)
        images = paint(masks[rows], task.look, stream)
        loss = cross_entropy(settings.head_scale * features(model, images) @ head.T, labels[rows])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model

"""Small nets with batch normalisation and small transformers on the 8 × 8 digits, from starts of their own."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import ViTConfig, ViTForImageClassification

from assets.build.basins import BATCH, RATE, prepare
from assets.build.randomness import torch_stream, uniform
from assets.build.scores import Score
from assets.build.settings import Settings
from assets.build.taskfiles import Task

Net = Callable[[torch.Tensor], torch.Tensor]
FAMILIES = ("basins-conv", "basins-transformer")
TASK = "basins/digits"
NAMES = ("start", "stranger-1", "stranger-2")
NOISE = {"basins-conv": 0.1, "basins-transformer": 0.2}


class Block(torch.nn.Module):
    """A convolution without bias, batch normalisation and ReLU."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(outside)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return what the block makes of `[n, inside, side, side]`."""
        return torch.relu(self.norm(self.conv(values)))


class ConvolutionalNet(torch.nn.Module):
    """Blocks, every one but the first halving the side; a linear head reads the mean over positions."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        pairs = zip((1, *channels), channels, strict=False)
        self.blocks = torch.nn.ModuleList(Block(*pair, 2 if index else 1) for index, pair in enumerate(pairs))
        self.head = torch.nn.Linear(channels[-1], 10)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return logits `[n, 10]` of images `[n, 1, 8, 8]`."""
        for block in self.blocks:
            values = block(values)
        found: torch.Tensor = self.head(values.mean((2, 3)))
        return found


def new_convolutional(settings: Settings, generator: torch.Generator) -> ConvolutionalNet:
    """Return a convolutional net whose every weight is drawn from `generator`."""
    with torch.random.fork_rng():
        model = ConvolutionalNet(settings.conv_channels)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.dim() > 1:
                gain = 1 if name == "head.weight" else 2
                std = math.sqrt(gain / math.prod(parameter.shape[1:]))
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
            else:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
    return model


def new_transformer(settings: Settings, generator: torch.Generator) -> ViTForImageClassification:
    """Return a ViTForImageClassification whose every weight is drawn from `generator`."""
    config = ViTConfig(
        hidden_size=settings.vit_width, intermediate_size=settings.vit_mlp_width,
        num_hidden_layers=settings.vit_layers, num_attention_heads=settings.vit_heads, num_channels=1, image_size=8,
        patch_size=settings.vit_patch, hidden_act="gelu", num_labels=10, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    with torch.random.fork_rng():
        model = ViTForImageClassification(config)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            else:
                fan_in = math.prod(parameter.shape[1:]) if "token" not in name and "position" not in name else 2500
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * fan_in**-0.5)
    return model


def answering(model: torch.nn.Module) -> Net:
    """Return a model as a function from images to logits."""
    if isinstance(model, ViTForImageClassification):
        return lambda images: model(pixel_values=images).logits
    return model


def pictures(task: Task, split: str) -> torch.Tensor:
    """Return the images of a split as input, `[n, 1, 8, 8]`."""
    return prepare(task.splits[split].images, task).reshape(-1, 1, 8, 8)


def train(model: torch.nn.Module, task: Task, steps: int, settings: Settings, family: str, name: str) -> None:
    """Train a model where it stands with Adam at a rate that falls to nothing; order and noise are its own."""
    noise = NOISE[family]
    answer, inputs, labels = answering(model.train()), pictures(task, "train"), task.splits["train"].labels
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch_stream(settings.seed, family, name)
    for _ in range(steps):
        rows = torch.randint(len(inputs), (BATCH,), generator=generator)
        scale = uniform(generator, 1 - noise, 1 + noise, BATCH, 1, 1, 1)
        noisy = inputs[rows] * scale + noise * torch.randn((BATCH, 1, 8, 8), generator=generator)
        loss = cross_entropy(answer(noisy), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.eval()


def train_all(family: str, task: Task, settings: Settings) -> dict[str, torch.nn.Module]:
    """Train the three models of a family; all of them have random starts of their own."""
    new = {"basins-conv": new_convolutional, "basins-transformer": new_transformer}[family]
    steps = {"basins-conv": settings.conv_steps, "basins-transformer": settings.vit_steps}[family]
    models: dict[str, torch.nn.Module] = {}
    for name in NAMES:
        models[name] = new(settings, torch_stream(settings.seed, family, name, "init"))
        train(models[name], task, steps // 3 if name == "start" else steps, settings, family, name)
    return models


@torch.no_grad()
def score_net(model: torch.nn.Module, task: Task, split: str) -> Score:
    """Score a model on a labelled split."""
    guesses = answering(copy.deepcopy(model).eval())(pictures(task, split)).argmax(1)
    return Score(int((guesses == task.splits[split].labels).sum()), len(guesses))


def write_net(model: torch.nn.Module, settings: Settings, folder: Path) -> None:
    """Write a model with its config; without the count of batches, which nothing reads."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, ViTForImageClassification):
        model.save_pretrained(folder)
        return
    config = {"model_type": "basin_cnn", "architectures": ["BasinCNN"], "num_channels": 1, "image_size": 8,
              "block_channels": list(settings.conv_channels), "num_labels": 10, "activation": "relu",
              "batch_norm_eps": 1e-5}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    leaves = {name: leaf for name, leaf in model.state_dict().items() if leaf.is_floating_point()}
    save_file(leaves, folder / "model.safetensors", metadata={"format": "pt"})


def read_net(settings: Settings, folder: Path) -> torch.nn.Module:
    """Read a model that `write_net` wrote."""
    if folder.parent.name == "basins-transformer":
        transformer: torch.nn.Module = ViTForImageClassification.from_pretrained(folder)
        return transformer.eval()
    model = ConvolutionalNet(settings.conv_channels)
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    return model.eval()

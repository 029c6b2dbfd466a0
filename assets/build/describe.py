"""Titles and sentences about families and checkpoints, and their cards."""

from __future__ import annotations

from dataclasses import dataclass

from assets.build.scores import Score
from assets.build.settings import Settings
from assets.build.strangers import NOISE, TASK
from assets.build.tasks import DIGIT_SIZES, TRAINING_MASKS, tiny_tasks


@dataclass(frozen=True)
class CheckpointInfo:
    """What the zoo says about one checkpoint; `name` is its path, such as `tiny/digits`."""

    name: str
    title: str
    description: str
    licence: str
    base: str | None
    training: str


@dataclass(frozen=True)
class FamilyInfo:
    """A base, experts that share its parameter space, and the tasks on which they are scored."""

    name: str
    title: str
    description: str
    base: CheckpointInfo
    experts: tuple[CheckpointInfo, ...]
    tasks: tuple[str, ...]
    expert_task: tuple[str, ...]
    """The task of each expert, in the order of `experts`."""


def tiny_family(settings: Settings) -> FamilyInfo:
    """Describe the tiny family."""
    base = CheckpointInfo(
        "tiny/base", "Tiny vision transformer", "A small vision transformer pretrained on glyphs that no task shows.",
        "apache-2.0", None,
        f"Pretrained for {settings.pretrain_steps} steps of AdamW (batch {settings.pretrain_batch}, peak rate "
        f"{settings.pretrain_rate:g}, falling by a cosine that would end at step {settings.pretrain_horizon}) to tell "
        "several hundred classes apart: characters of fifteen scripts and symbol sets (no Latin, Greek or digits), "
        "fixed random outlines and fixed constellations of dots.",
    )  # fmt: skip
    tasks = tiny_tasks()
    experts = tuple(
        CheckpointInfo(
            f"tiny/{task.name}", f"{task.title} expert", f"The tiny base fine-tuned on: {task.title.lower()}.",
            "cc-by-4.0" if task.draw is None else "apache-2.0", "tiny/base",
            f"Fine-tuned for {settings.finetune_steps} steps of AdamW (batch {settings.finetune_batch}, peak "
            f"{settings.finetune_rate:g}, no weight decay) on " + (
                f"the {DIGIT_SIZES['train']} training digits" if task.draw is None
                else f"{TRAINING_MASKS} drawings made like the train split of tiny/{task.name}"
            ) + ", turned, lit and dirtied anew at each use, with the task's prototypes as frozen head.",
        )
        for task in tasks
    )  # fmt: skip
    names = tuple(f"tiny/{task.name}" for task in tasks)
    return FamilyInfo("tiny", "Tiny vision transformer, six experts",
                      "One pretrained vision transformer and six experts fine-tuned from it on different tasks.",
                      base, experts, names, names)  # fmt: skip


def basins_family(settings: Settings) -> FamilyInfo:
    """Describe the basins family."""
    shape = " → ".join(map(str, (64, *settings.basin_hidden, 10)))
    rest = f"Adam with batch 64 on the 8 × 8 digits; layers {shape}."

    def fine(name: str, side: str, noise: float) -> CheckpointInfo:
        return CheckpointInfo(f"basins/{name}", f"{side}, from the start",
                              f"The start trained on, with its own order of examples and noise {noise:g}.",
                              "cc-by-4.0", "basins/start",
                              f"{settings.basin_steps} steps from basins/start, input noise {noise:g}; {rest}",
                              )  # fmt: skip

    def stranger(number: int) -> CheckpointInfo:
        return CheckpointInfo(f"basins/stranger-{number}", f"Stranger {number}", "The same network trained from a "
                              "random start of its own.", "cc-by-4.0", None,
                              f"{settings.basin_steps} steps from a random start, input noise 0.1; {rest}")  # fmt: skip

    start = CheckpointInfo(
        "basins/start",
        "Start",
        "A small MLP trained briefly on the 8 × 8 digits.",
        "cc-by-4.0",
        None,
        f"{settings.basin_start_steps} steps from a random start, input noise 0.1; {rest}",
    )
    experts = (fine("left", "Left", 0.1), fine("right", "Right", 0.3), stranger(1), stranger(2))
    return FamilyInfo("basins", "Digit MLPs, one basin and two strangers", "Two MLPs from one start, with no barrier "
                      "between them, and two from random starts of their own, behind one.", start, experts,
                      ("basins/digits",), ("basins/digits",) * 4)  # fmt: skip


def strangers_family(name: str, settings: Settings) -> FamilyInfo:
    """Describe the nets with batch normalisation, or the small transformers."""
    convolutional = name == "basins-conv"
    kind = "convolutional net with batch normalisation" if convolutional else "vision transformer"
    channels = " → ".join(map(str, settings.conv_channels))
    steps, shape = (
        (settings.conv_steps, f"blocks of {channels} channels, kernel 3, all but the first with stride 2")
        if convolutional
        else (settings.vit_steps, f"{settings.vit_layers} layers of width {settings.vit_width} with "
              f"{settings.vit_heads} heads, inner width {settings.vit_mlp_width}, patch {settings.vit_patch}")
    )  # fmt: skip
    rest = f"input noise {NOISE[name]:g}; Adam with batch 64 on the 8 × 8 digits; {shape}."

    def one(key: str, title: str, description: str, count: int) -> CheckpointInfo:
        training = f"{count} steps from a random start, {rest}"
        return CheckpointInfo(f"{name}/{key}", title, description, "cc-by-4.0", None, training)

    own = f"A small {kind} trained from a random start of its own."
    return FamilyInfo(
        name,
        "Digit convolutional nets, strangers" if convolutional else "Digit transformers, strangers",
        f"A {kind} trained on the 8 × 8 digits from different random starts.",
        one("start", "Start", f"A small {kind} trained briefly on the 8 × 8 digits.", steps // 3),
        tuple(one(f"stranger-{number}", f"Stranger {number}", own, steps) for number in (1, 2)),
        (TASK,),
        (TASK,) * 2,
    )


def card(info: CheckpointInfo, settings: Settings, scores: dict[str, dict[str, Score]]) -> str:
    """Return the model card; `scores` maps task -> split -> score."""
    library = "transformers" if info.name.startswith(("tiny/", "basins-transformer/")) else "pytorch"
    head = ["---", f"license: {info.licence}", f"library_name: {library}"]
    if info.base:
        head.append(f"base_model: zoo:{info.base}")
    lines = [*head, "tags:", "- model-merging", "- basin-zoo", "---", "", f"# {info.title} (`zoo:{info.name}`)", "",
             info.description, "", f"{info.training} Seed {settings.seed}. Built by `python -m assets.build`.", "",
             "| task | split | accuracy | n | 95 % interval (Wilson) |", "|---|---|---|---|---|"]  # fmt: skip
    for task, splits in scores.items():
        for split, value in splits.items():
            low, high = value.interval()
            lines.append(f"| {task} | {split} | {value.accuracy:.3f} | {value.n} | {low:.3f} – {high:.3f} |")
    return "\n".join(lines) + "\n"

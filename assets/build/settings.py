"""Everything that a build depends on, in one frozen record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Seed, sizes and steps of one build; recorded in the manifest.

    The accuracies of a build follow from this record, the package versions and the kind of processor.
    """

    seed: int = 20
    threads: int = 1
    width: int = 144
    layers: int = 6
    heads: int = 6
    mlp_width: int = 288
    image_size: int = 32
    patch_size: int = 8
    pretrain_steps: int = 2600
    pretrain_horizon: int = 3000
    """Steps after which the learning rate would have reached its end; the run stops a little before."""
    pretrain_batch: int = 128
    pretrain_rate: float = 1e-3
    finetune_steps: int = 400
    finetune_batch: int = 64
    finetune_rate: float = 2e-4
    head_scale: float = 20.0
    basin_hidden: tuple[int, ...] = (64, 64, 64, 64)
    basin_start_steps: int = 300
    basin_steps: int = 1500
    conv_channels: tuple[int, ...] = (24, 32, 48)
    conv_steps: int = 800
    vit_width: int = 48
    vit_layers: int = 2
    vit_heads: int = 4
    vit_mlp_width: int = 96
    vit_patch: int = 4
    vit_steps: int = 1500

    def as_json(self) -> dict[str, object]:
        """Return the record as JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Folders:
    """Where a build reads and writes: the zoo itself and resumable intermediate state."""

    zoo: Path
    work: Path

    def task(self, name: str) -> Path:
        """Return the folder of a task such as `tiny/digits`."""
        return self.zoo / "tasks" / name

    def checkpoint(self, name: str) -> Path:
        """Return the folder of a checkpoint such as `tiny/base`."""
        return self.zoo / name

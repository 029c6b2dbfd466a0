"""Checkpoints: references, strict header checks, lazy reading, atomic writing; all that touches weights on disk."""

from merging_core.checkpoints.catalog import Catalog as Catalog
from merging_core.checkpoints.catalog import CatalogEntry as CatalogEntry
from merging_core.checkpoints.header import LeafHeader as LeafHeader
from merging_core.checkpoints.header import LeafSpec as LeafSpec
from merging_core.checkpoints.reader import Checkpoint as Checkpoint
from merging_core.checkpoints.reader import open_checkpoint as open_checkpoint
from merging_core.checkpoints.ref import Ref as Ref
from merging_core.checkpoints.ref import parse_ref as parse_ref
from merging_core.checkpoints.writer import write_checkpoint as write_checkpoint

__all__ = [
    "Catalog",
    "CatalogEntry",
    "Checkpoint",
    "LeafHeader",
    "LeafSpec",
    "Ref",
    "open_checkpoint",
    "parse_ref",
    "write_checkpoint",
]

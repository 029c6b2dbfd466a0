"""Recipes of mergekit: read as recipes of ours that mean the same, and written from them where that can be said."""

from merging_core.recipes.mergekit.reading import Imported as Imported
from merging_core.recipes.mergekit.reading import import_mergekit as import_mergekit
from merging_core.recipes.mergekit.writing import Exported as Exported
from merging_core.recipes.mergekit.writing import export_mergekit as export_mergekit

__all__ = ["Exported", "Imported", "export_mergekit", "import_mergekit"]

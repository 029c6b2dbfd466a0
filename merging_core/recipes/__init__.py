"""Recipes: what a merge is, in words and numbers, checked, hashed and written down."""

from merging_core.recipes.canonical import canonical as canonical
from merging_core.recipes.canonical import recipe_hash as recipe_hash
from merging_core.recipes.files import load_recipe as load_recipe
from merging_core.recipes.files import recipe_to_yaml as recipe_to_yaml
from merging_core.recipes.migrate import migrate as migrate
from merging_core.recipes.parse import parse_recipe as parse_recipe
from merging_core.recipes.recipe import LayerScalingSpec as LayerScalingSpec
from merging_core.recipes.recipe import MaskSpec as MaskSpec
from merging_core.recipes.recipe import MethodSpec as MethodSpec
from merging_core.recipes.recipe import ModelEntry as ModelEntry
from merging_core.recipes.recipe import Recipe as Recipe
from merging_core.recipes.stages import Stages as Stages
from merging_core.recipes.stages import stages as stages

__all__ = [
    "LayerScalingSpec",
    "MaskSpec",
    "MethodSpec",
    "ModelEntry",
    "Recipe",
    "Stages",
    "canonical",
    "load_recipe",
    "migrate",
    "parse_recipe",
    "recipe_hash",
    "recipe_to_yaml",
    "stages",
]

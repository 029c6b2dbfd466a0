"""Writing recipes for mergekit: what can be said is said, and of the rest there is a sentence."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from merging_core.errors import RecipeError
from merging_core.methods.registry import methods
from merging_core.recipes.mergekit import export_mergekit, import_mergekit
from merging_core.recipes.mergekit.sayings import SAYINGS
from merging_core.recipes.parse import parse_recipe
from tests.recipes.examples import mapping

COMMIT = "0123456789" * 4


def said(**changes: Any) -> Any:
    return yaml.safe_load(export_mergekit(parse_recipe(mapping(**changes))).text)


def refused(**changes: Any) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        export_mergekit(parse_recipe(mapping(**changes)))
    return [str(problem) for problem in caught.value.problems]


def test_a_recipe_is_said_in_full() -> None:
    models = [{"ref": f"hub:ada/x@{COMMIT}", "weight": [0, 1]}, {"ref": "file:/models/y", "params": {"density": 0.5}}]
    method = {"name": "ties", "params": {"scope": "leaf", "density": 0.2}}
    assert said(name="ties", models=models, method=method, base="hub:ada/base", dtype="bfloat16") == {
        "merge_method": "ties",
        "base_model": "ada/base",
        "models": [
            {"model": f"ada/x@{COMMIT}", "parameters": {"weight": [0.0, 1.0], "density": 0.2}},
            {"model": "/models/y", "parameters": {"weight": 1.0, "density": 0.5}},
        ],
        "parameters": {"lambda": 1.0, "normalize": True},
        "dtype": "float32",
        "out_dtype": "bfloat16",
    }


def test_layer_scaling_is_said_as_a_line_of_lambda() -> None:
    lines = {"kind": "lines", "alpha": 0.5, "beta": 1.0}
    assert said(layer_scaling=lines, **{"lambda": 0.5})["parameters"] == {"lambda": [0.25, 0.75]}
    curve = {"kind": "curve", "points": [0, 1, 2]}
    assert said(layer_scaling=curve, **{"lambda": 0.5})["parameters"] == {"lambda": [0.0, 0.5, 1.0]}


def test_an_average_that_is_scaled_is_said_as_task_arithmetic() -> None:
    found = said(name="linear", **{"lambda": 0.5})
    assert (found["merge_method"], found["parameters"]) == ("task_arithmetic", {"normalize": True, "lambda": 0.5})
    assert "base_model" not in said(name="linear")


def test_checkpoints_that_mergekit_cannot_open_are_told_in_a_comment() -> None:
    text = export_mergekit(parse_recipe(mapping("linear"))).text
    assert text.startswith(
        "# mergekit opens folders and models of the Hub: put the folder of zoo:tiny/digits, zoo:tiny"
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "ties"}, "method.params.scope: mergekit trims within each leaf, but model came; set scope to leaf."),
        (
            {"method": {"name": "ties", "params": {"scope": "leaf", "vote": "equal"}}},
            "method.params.vote: mergekit knows nothing of vote, but equal came; set vote to weighted.",
        ),
        (
            {"name": "dare_linear"},
            "method.params.rescale: mergekit keeps Σ|τ| of a leaf, but probability came; set rescale to norm.",
        ),
        ({"mask": {"kind": "magnitude"}}, "mask.kind: mergekit has no such mask before a plain sum, but magnitude"),
        (
            {"layer_scaling": {"kind": "lines", "alpha": 1, "beta": 1, "outside": "depth"}},
            "layer_scaling.outside: mergekit gives leaves outside the blocks the first factor, but depth came",
        ),
        ({"name": "sce", "lambda": 0.5}, "lambda: mergekit has no λ and no layer scaling in this method"),
        ({"name": "tsv_m"}, "method.name: mergekit knows the method, but TSV-M came; it has none like it."),
        ({"tensors": f"learned:{COMMIT}{COMMIT[:24]}"}, "tensors: mergekit has no such part of a recipe, but tensors"),
        ({"vocabulary": "common rows"}, "vocabulary: mergekit has no such part of a recipe"),
        ({"name": "linear", "vocabulary": "by token"}, "mergekit keeps the tokens of a base_model"),
        ({"base": "hub:ada/clip#vision"}, "mergekit opens whole models"),
        ({"base": "file:/models/a+b"}, "mergekit reads “@” and “+” in a path as its own signs"),
    ],
)
def test_what_mergekit_has_no_words_for_is_said(changes: dict[str, Any], sentence: str) -> None:
    assert any(sentence in one for one in refused(**changes))


@pytest.mark.parametrize("name", [info.name for info in methods()])
def test_every_method_at_its_defaults_is_said_or_refused_in_sentences(name: str) -> None:
    recipe = parse_recipe(mapping(name))
    try:
        written = export_mergekit(recipe)
    except RecipeError as error:
        assert all(str(problem).endswith((".", "?")) for problem in error.problems)
        return
    assert name in SAYINGS
    again = export_mergekit(import_mergekit(written.text.encode()).recipe)
    assert yaml.safe_load(again.text) == yaml.safe_load(written.text)


def test_an_adapter_is_written_on_its_base() -> None:
    models = [{"ref": "file:/models/lora"}, {"ref": "hub:ada/x"}]
    written = export_mergekit(parse_recipe(mapping(models=models, base="hub:ada/base")), ["file:/models/lora"])
    listed = yaml.safe_load(written.text)["models"]
    assert [entry["model"] for entry in listed] == ["ada/base+/models/lora", "ada/x"]


def test_rows_by_token_are_the_base_s_tokenizer() -> None:
    method = {"name": "ties", "params": {"scope": "leaf"}}
    given = mapping(
        name="ties", base="hub:ada/base", method=method, models=[{"ref": "hub:ada/x"}], vocabulary="by token"
    )
    written = export_mergekit(parse_recipe(given))
    assert yaml.safe_load(written.text)["tokenizer_source"] == "base"
    assert import_mergekit(written.text.encode()).recipe.vocabulary == "by token"

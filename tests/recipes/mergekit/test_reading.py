"""Reading mergekit's recipes: what is wrong is said with its line, all of it at once, and nothing is dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from merging_core.errors import RecipeError
from merging_core.recipes.mergekit import import_mergekit
from merging_core.recipes.mergekit.vocabulary import LATER, METHODS

TIES = """\
merge_method: ties
base_model: ada/base
models:
  - model: ada/x
    parameters: {weight: 0.5}
  - model: ada/y
    parameters:
      weight: 1
"""


def refused(text: str, folder: Path | None = None) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        import_mergekit(text.encode(), folder)
    return [str(problem) for problem in caught.value.problems]


def test_a_recipe_of_every_part_is_read() -> None:
    text = TIES + "parameters: {density: [0.2, 0.8], normalize: 1.0}\ndtype: float32\nout_dtype: bfloat16\n"
    found = import_mergekit(text.encode())
    assert found.recipe.base == "hub:ada/base"
    assert [(entry.ref, entry.weight) for entry in found.recipe.models] == [("hub:ada/x", 0.5), ("hub:ada/y", 1.0)]
    params = found.recipe.method.params.as_json()
    assert (
        params.items() >= {"density": [0.2, 0.8], "scope": "leaf", "combine": "mean", "cancelled": "positive"}.items()
    )
    assert (found.recipe.dtype, found.recipe.lambda_, found.notes) == ("bfloat16", 1.0, ())


def test_without_a_dtype_the_merge_is_stored_as_told() -> None:
    assert "names no dtype" in import_mergekit(TIES.encode()).notes[0]
    found = import_mergekit(TIES.encode(), stored="float16")
    assert (found.recipe.dtype, found.notes) == ("float16", ())


def test_a_typo_is_said_with_its_line_and_the_closest_name() -> None:
    assert refused(TIES.replace("weight: 1\n", "wieght: 1\n") + "dtyp: float32\n") == [
        "line 8: models[1].parameters.wieght: parameters of ties are known by name, but wieght came; "
        "did you mean “weight”?",
        "line 9: dtyp: keys are known by name, but dtyp came; did you mean “dtype”?",
    ]


@pytest.mark.parametrize(
    ("value", "line", "said"),
    [
        ("{filter: mlp, value: 0.5}", 8, "put it into a list"),
        ("true", 8, "weight is a number, but True came"),
        ("'0.5'", 8, "weight is a number, but '0.5' came"),
        (".nan", 8, "weight lies in"),
        ("[]", 8, "a list over depth has 1 to 256 numbers"),
        ("[0, true]", 8, "models[1].parameters.weight[1]: weight is a number, but True came"),
        ("\n        - 0\n        - no", 10, "models[1].parameters.weight[1]: weight is a number, but 'no' came"),
        ("[{filter: mlp, value: 1}, 2]", 8, "a case is a mapping"),
        ("[{filtr: mlp, value: 1}]", 8, "did you mean “filter”?"),
        ("[{filter: mlp}, {value: 1}]", 8, "a case has a value"),
        ("[{value: 1}, {filter: mlp, value: 1}]", 8, "the case that takes every leaf is the last"),
        ("[{filter: mlp, value: 1}]", 8, "weight has a number for every leaf, but filters alone came"),
        ("1e9", 8, "weight lies in [-1000000, 1000000], but 1000000000.0 came."),
        ("-1", 8, "weights beside normalize: true are 0 or more"),
    ],
)
def test_a_number_that_is_none_is_said_with_its_line(value: str, line: int, said: str) -> None:
    (sentence,) = refused(TIES.replace("weight: 1\n", f"weight: {value}\n"))
    assert sentence.startswith(f"line {line}: models[1].parameters.weight") and said in sentence


@pytest.mark.parametrize(("key", "why"), LATER.items())
def test_what_is_not_supported_is_refused_by_name(key: str, why: str) -> None:
    assert refused(f"{TIES}{key}: union\n") == [
        f"line 9: {key}: only what is supported stands in a recipe, but {key} came; {why}."
    ]


@pytest.mark.parametrize(
    ("method", "more", "said"),
    [
        (
            "dare-ties",
            "",
            "line 1: merge_method: merge_method is one of mergekit’s, but 'dare-ties' came; did you mean",
        ),
        ("7", "", "merge_method is one of mergekit’s, but 7 came"),
        ("linear", "", "line 2: base_model: linear has no base: it takes the models of its list alone"),
        ("ties", "parameters: {density: 1.5}", "line 9: parameters.density: density lies in (0, 1], but 1.5 came."),
        ("ties", "parameters: {rescale: true}", "line 9: parameters.rescale: ties leaves what it keeps as it is"),
        ("ties", "parameters: {normalize: [true]}", "normalize is true or false for the whole model"),
        ("ties", "parameters: {select_topk: 0.5}", "parameters of ties are known by name, but select_topk came"),
        ("ties", "parameters: [1]", "line 9: parameters: parameters is a mapping, but [1] came"),
        ("dare_linear", "parameters: {normalize: true, weight: 1}", ""),
        ("breadcrumbs", "parameters: {density: 0.9, gamma: 0.2}", "density and gamma add up to at most 1"),
        ("della", "parameters: {density: 0.9}", "density − epsilon and density + epsilon lie between 0 and 1"),
        ("ties", "dtype: bfloat17", "line 9: dtype: dtype is one of float32, bfloat16, float16, but 'bfloat17' came"),
        ("ties", "out_dtype: int64", "out_dtype is one of float32, bfloat16, float16, but 'int64' came"),
        ("multislerp", "parameters: {eps: 0.1}", "line 9: parameters.eps: eps is 1e-08, but 0.1 came"),
    ],
)
def test_what_a_method_does_not_take_is_said(method: str, more: str, said: str) -> None:
    text = f"{TIES.replace('merge_method: ties', f'merge_method: {method}')}{more}\n"
    if said:
        assert any(said in sentence for sentence in refused(text))
    else:
        import_mergekit(text.encode())


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("slerp", "slerp takes exactly 2 models, one of them the base_model, but 3 came; remove models."),
        ("nearswap", "nearswap takes exactly 1 model beside the base_model, but 2 came; remove models."),
    ],
)
def test_more_models_than_a_method_takes_are_said(method: str, said: str) -> None:
    text = f"merge_method: {method}\nbase_model: ada/base\nmodels: [{{model: ada/x}}, {{model: ada/y}}]\n"
    assert refused(f"{text}parameters: {{t: 0.5}}") == [f"line 3: models: {said}"]


def test_what_is_of_the_whole_merge_does_not_stand_with_a_model() -> None:
    (sentence,) = refused(TIES.replace("weight: 1\n", "weight: 1\n      normalize: true\n"))
    assert sentence.startswith("line 9: models[1].parameters.normalize: only what each model has of its own")


def test_a_number_that_is_missing_is_asked_for_where_the_model_stands() -> None:
    (sentence,) = refused(TIES.replace("    parameters: {weight: 0.5}\n", ""))
    assert sentence.startswith("line 4: models[0]: ties needs weight of each model, but nothing came")


def test_a_base_that_is_missing_is_asked_for() -> None:
    (sentence,) = refused(TIES.replace("base_model: ada/base\n", ""))
    assert sentence.startswith("line 1: merge_method: ties needs a base_model")


def test_a_base_in_the_list_is_left_out_where_it_has_no_say_and_counts_where_it_has() -> None:
    text = TIES.replace("ada/x", "ada/base")
    found = import_mergekit(text.encode())
    assert [entry.ref for entry in found.recipe.models] == ["hub:ada/y"]
    assert found.notes[0].startswith("the base_model in the list of models has no say")
    average = import_mergekit(text.replace("ties", "linear").encode()).recipe
    assert [entry.ref for entry in average.models] == ["hub:ada/base", "hub:ada/y"]


def test_a_model_twice_is_said_with_the_line_of_the_second() -> None:
    (sentence,) = refused(TIES.replace("ada/y", "ada/x"))
    assert sentence.startswith("line 6: models[1].model: each model stands in the list once")


def test_what_has_no_say_in_mergekit_is_told() -> None:
    text = TIES.replace("merge_method: ties", "merge_method: task_arithmetic")
    notes = import_mergekit(f"{text}parameters: {{density: 0.5, int8_mask: true}}\ndtype: float32".encode()).notes
    assert notes == (
        "density has no say in task_arithmetic, which drops nothing",
        "int8_mask changes no number",
    )


@pytest.mark.parametrize(
    ("model", "ref"),
    [
        ("ada/x@v1.0", "hub:ada/x@v1.0"),
        ("{model: {path: ada/x, revision: main}}", "hub:ada/x@main"),
        ("{model: ada/x}", "hub:ada/x"),
        ("zoo:tiny/digits", "zoo:tiny/digits"),
        ("hub:ada/x@main", "hub:ada/x@main"),
    ],
)
def test_models_are_named_as_mergekit_names_them(model: str, ref: str) -> None:
    assert import_mergekit(TIES.replace("ada/x", model).encode()).recipe.models[0].ref == ref


@pytest.mark.parametrize("model", ["./x", "runs/x", "runs/deep/x"])
def test_folders_are_opened_below_the_folder_that_is_told(model: str, tmp_path: Path) -> None:
    (tmp_path / model).mkdir(parents=True)
    found = import_mergekit(TIES.replace("ada/x", model).encode(), tmp_path).recipe
    assert found.models[0].ref == f"file:{tmp_path / model}"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("ada/x+ada/lora", "an adapter is added to the base_model, but hub:ada/x came"),
        ("{model: ada/x, lora: ada/lora}", "an adapter is added to the base_model, but hub:ada/x came"),
        ("ada/x+ada/lora+ada/more", "one adapter stands beside a listed model"),
        ("{model: ada/x, override_architecture: LlamaForCausalLM}", "override_architecture came"),
        ("{model: {path: ada/x, revison: main}}", "did you mean “revision”?"),
        ("{modl: ada/x}", "did you mean “model”?"),
        ("{model: 3}", "a model has a path"),
        ("3", "a model is named by its path, but 3 came"),
        ("ada/x@a@b", "a model is path or path@revision"),
        ("./x", "folders are opened by the command line alone"),
        ("gpt2", "folders are opened by the command line alone"),
        ("recipe:abc", "merges of merges are not available yet"),
        ("ada/x--y", "a model of the Hub is owner/name"),
    ],
)
def test_a_model_that_cannot_be_named_is_said_with_its_line(model: str, said: str) -> None:
    (sentence,) = refused(TIES.replace("ada/x", model))
    assert sentence.startswith("line 4: models[0].model: ") and said in sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1", "line 1: a mergekit recipe is a mapping, but [1] came"),
        ("", "line 1: a mergekit recipe is a mapping, but None came"),
        ("{}", "merge_method is one of mergekit’s, but nothing came"),
        ("merge_method: ties\nmodels: 3", "line 2: models: models is a list of models, but 3 came"),
        ("merge_method: ties\nmodels: [3]", "line 2: models[0]: an entry of the list has a model, but 3 came"),
        ("merge_method: ties\nmodels:\n- {model: ada/x, weight: 1}", "line 3: models[0].weight: a model has model and"),
        ("a: &x [1]\nb: *x", "line 1: recipes use no anchors or aliases"),
        ("a: !!python/object:os.system 1", "line 1: recipes use no tags"),
        ("a: 1\na: 2", "line 2: a key stands once"),
        ("a: 1\n---\nb: 2", "line 2: the text is plain YAML"),
        ("a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", "line 1: values nest at most 16 deep"),
        ("a: {", "line 1: the text is plain YAML"),
    ],
)
def test_text_that_is_no_recipe_is_refused(text: str, said: str) -> None:
    assert any(said in sentence for sentence in refused(text))


def test_more_than_a_recipe_can_hold_is_refused_before_it_is_read() -> None:
    assert "at most 65536 bytes" in refused("a: 1\n" * 20_000)[0]


def test_every_method_of_mergekit_is_known() -> None:
    assert len(METHODS) == 20


@pytest.mark.parametrize(
    "model", ["ada/base+ada/lora@main", "{model: ada/base, lora: {path: ada/lora, revision: main}}"]
)
def test_an_adapter_on_the_base_is_an_expert_of_it(model: str) -> None:
    text = TIES.replace("ada/x", model)
    assert import_mergekit(text.encode()).recipe.models[0].ref == "hub:ada/lora@main"
    average = text.replace("base_model: ada/base\n", "").replace("ties", "linear")
    assert "an adapter is added to the base_model, but linear without a base came" in refused(average)[0]


TOKENS = ["tokenizer_source: base", "tokenizer: {source: base}"]


@pytest.mark.parametrize("said", TOKENS)
def test_the_tokens_of_the_base_are_rows_by_token(said: str) -> None:
    found = import_mergekit(f"{TIES}{said}\n".encode())
    assert found.recipe.vocabulary == "by token"
    assert any("rows of the base that no token belongs to stay" in note for note in found.notes)
    listed = "merge_method: slerp\nbase_model: ada/x\nmodels: [{model: ada/y}, {model: ada/x}]\nparameters: {t: 0.5}\n"
    assert import_mergekit(f"{listed}{said}\n".encode()).recipe.models[0].ref == "hub:ada/x"


LINEAR = (
    "merge_method: linear\nmodels: [{model: ada/x, parameters: {weight: 1}}, {model: ada/y, parameters: {weight: 1}}]\n"
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (TIES + "tokenizer_source: union\n", "line 9: tokenizer_source: tokenizer_source is base, but 'union' came"),
        (TIES + "tokenizer_source: ada/x\n", "line 9: tokenizer_source: tokenizer_source is base, but 'ada/x' came"),
        (TIES + "tokenizer: {tokens: {}}\n", "line 9: tokenizer: tokenizer is base, but 'union' came"),
        (
            TIES + "tokenizer: {source: base, pad_to_multiple_of: 8}\n",
            "has a source alone, but pad_to_multiple_of came",
        ),
        (TIES + "tokenizer: {source: base}\ntokenizer_source: base\n", "one key says whose tokens the merge has"),
        (LINEAR + "tokenizer_source: base\n", "linear has a base_model whose tokens are kept, but nothing came"),
        (LINEAR + "base_model: ada/y\ntokenizer_source: base\n", "but one that is not the first of the models came"),
    ],
)
def test_other_tokens_than_those_of_a_base_that_leads_the_merge_are_refused(text: str, sentence: str) -> None:
    assert any(sentence in one for one in refused(text))


def test_a_first_model_that_is_the_base_gives_an_average_its_tokens() -> None:
    text = LINEAR + "base_model: ada/x\ntokenizer_source: base\n"
    assert import_mergekit(text.encode()).recipe.vocabulary == "by token"

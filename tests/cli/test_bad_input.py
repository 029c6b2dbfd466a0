"""Bad input: status 2, one message on stderr that names every problem, nothing on stdout, nothing left on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.cli.conftest import CONFIG, Run, Trio, Write, save, tensors

ZOO_MODELS = [{"ref": "zoo:tiny/digits"}, {"ref": "zoo:tiny/letters"}]


def refused(run: Run, *arguments: str) -> list[str]:
    """Run a command that must be refused and return the lines of its message."""
    answer = run(*arguments)
    assert answer.status == 2
    assert answer.out == ""
    assert answer.err.endswith("\n")
    assert "Traceback" not in answer.err
    assert "╭" not in answer.err
    return answer.err.splitlines()


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method": {"name": "ties", "params": {"density": 0}}},
            ["method.params.density: density lies in (0, 1], but 0 came; the default is 0.2."],
        ),
        (
            {"method": {"name": "ties", "params": {"density": 1.5}}},
            ["method.params.density: density lies in (0, 1], but 1.5 came; the default is 0.2."],
        ),
        (
            {"method": {"name": "ties", "params": {"densty": 0.5}}},
            ["method.params.densty: parameters are known by name, but densty came; did you mean “density”?"],
        ),
        (
            {"method": {"name": "tais"}},
            ["method.name: method names a known name, but 'tais' came; did you mean “ties”?"],
        ),
        ({"models": []}, ["models: models is not empty, but [] came; add an expert."]),
        (
            {"models": ZOO_MODELS, "layer_scaling": {"kind": "lines_gamma"}},
            ["models: LiNeS for one expert takes exactly 1 model, but 2 came; remove models, or choose another."],
        ),
        (
            {"models": [ZOO_MODELS[0], ZOO_MODELS[0]]},
            [
                "models[1].ref: each model stands in the list once, but 'zoo:tiny/digits' again came; "
                "remove one, and give models[0] more weight."
            ],
        ),
        ({"lambda": "much"}, ["lambda: lambda is a number, but 'much' came; the default is 0.3."]),
        ({"slices": []}, ["slices: only supported keys are used, but slices came; it is not supported yet."]),
        ({"version": 9}, ["version: the recipe's version is known, but 9 came; update Basin."]),
        (
            {"seed": -1, "dtype": "float3"},
            [
                "dtype: dtype is one of float32, bfloat16, float16, but 'float3' came; did you mean “float32”?",
                "seed: seed lies in [0, 9007199254740991], but -1 came; the default is 0.",
            ],
        ),
        (
            {"base": "hub:name-without-owner"},
            [
                "base: a model of the Hub is owner/name, of letters, digits, “-”, “_” and single dots, "
                "but 'name-without-owner' came; write it like hub:owner/name or hub:owner/name@revision."
            ],
        ),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, dict) else "",
)
def test_what_a_recipe_reveals_is_said_before_any_checkpoint_is_opened(
    run: Run, write: Write, changes: dict[str, object], message: list[str], as_json: tuple[str, ...]
) -> None:
    recipe = {"version": 1, "base": "zoo:no/such", "models": ZOO_MODELS, "method": {"name": "task_arithmetic"}}
    assert refused(run, "plan", write("recipe.json", recipe | changes), *as_json) == message


def test_weights_that_cancel_are_refused(run: Run, write: Write, trio: Trio) -> None:
    models = [{"ref": f"file:{trio.a}", "weight": 1}, {"ref": f"file:{trio.b}", "weight": -1}]
    recipe = write("recipe.json", trio.recipe(models=models, method={"name": "linear"}))
    (line,) = refused(run, "plan", recipe)
    assert line.startswith("models: ")
    assert "1, -1 came" in line


def test_several_mistakes_are_said_at_once(run: Run, write: Write) -> None:
    recipe = {
        "version": 1,
        "models": [{"ref": "zoo:tiny/digits", "wieght": 2}],
        "method": {"name": "ties", "params": {"density": 2}},
        "lamda": 1,
    }
    lines = refused(run, "plan", write("recipe.json", recipe))
    assert {line.partition(":")[0] for line in lines} == {"lamda", "method.params.density", "models[0].wieght", "base"}


Damage = Callable[[Path], None]


def without_a_leaf(folder: Path) -> None:
    weights = tensors(0.1)
    del weights["layers.1.bias"]
    save_file(weights, folder / "model.safetensors")


def with_another_leaf(folder: Path) -> None:
    save_file(tensors(0.1) | {"layers.9.bias": torch.zeros(2)}, folder / "model.safetensors")


def with_another_shape(folder: Path) -> None:
    save_file(tensors(0.1) | {"layers.1.bias": torch.zeros(5)}, folder / "model.safetensors")


def of_another_architecture(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert", "hidden_size": 8}', encoding="utf-8")


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(tensors(0.1), folder / "pytorch_model.bin")


def pickled_under_a_wrong_name(folder: Path) -> None:
    torch.save(tensors(0.1), folder / "model.safetensors")


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-3])


def empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


@pytest.mark.parametrize("command", ["plan", "merge", "evaluate"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_a_leaf, "layers.1.bias"),
        (with_another_leaf, "layers.9.bias"),
        (with_another_shape, "[5]"),
        (of_another_architecture, "bert"),
        (pickled, "pytorch_model.bin"),
        (pickled_under_a_wrong_name, "only safetensors files are accepted"),
        (truncated, "truncated"),
        (empty, "at least 10 bytes"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_header_reveals_is_said_before_a_tensor_is_read(  # noqa: PLR0913
    run: Run, write: Write, trio: Trio, tmp_path: Path, damage: Damage, words: str, command: str
) -> None:
    damage(trio.a)
    out = tmp_path / "out"
    arguments = (str(out),) if command == "merge" else ()
    message = "\n".join(refused(run, command, write("recipe.json", trio.recipe()), *arguments))
    assert words in message
    assert "a: " in message or "models[0]" in message
    assert not out.exists()


def test_problems_of_two_checkpoints_are_said_together(run: Run, write: Write, trio: Trio) -> None:
    truncated(trio.a)
    with_another_shape(trio.b)
    message = "\n".join(refused(run, "plan", write("recipe.json", trio.recipe())))
    assert "truncated" in message
    assert "[5]" in message


def test_a_leaf_that_is_not_finite_is_found_when_it_is_read_and_nothing_stays(
    run: Run, write: Write, trio: Trio, tmp_path: Path
) -> None:
    weights = tensors(0.1)
    weights["layers.0.weight"][1, 2] = float("nan")
    save_file(weights, trio.a / "model.safetensors")
    recipe = write("recipe.json", trio.recipe())
    before = sorted(tmp_path.iterdir())
    assert run("plan", recipe).status == 0
    (line,) = refused(run, "merge", recipe, str(tmp_path / "out"))
    assert "layers.0.weight" in line
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_there_is_not_overwritten(run: Run, write: Write, trio: Trio) -> None:
    before = (trio.b / "model.safetensors").read_bytes()
    (line,) = refused(run, "merge", write("recipe.json", trio.recipe()), str(trio.b))
    assert "b" in line
    assert (trio.b / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("merg",), "No such command 'merg'. Did you mean 'merge'?"),
        (("plan",), "Missing argument 'RECIPE'."),
        (("plan", "a.json", "b.json"), "b.json"),
        (("plan", "--jsn", "a.json"), "--jsn"),
        (("zoo", "check"), "'check' is not one of 'list', 'verify'."),
        (("evaluate", "zoo:tiny/digits", "--split", "train"), "'train' is not one of 'validation', 'test'."),
        (("interpolate", "zoo:tiny/base", "zoo:tiny/digits", "--points", "1"), "--points"),
        (("interpolate", "zoo:tiny/base", "zoo:tiny/digits", "--points", "many"), "--points"),
        (("interpolate", "zoo:tiny/base", "zoo:tiny/digits", "--points", "0"), "or equal to 2. See "),
        (("interpolate",), "Missing argument 'MODELS"),
        (("\x1b[2J",), "\\x1b[2J"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistyped_command_is_one_line_that_points_to_the_help(
    run: Run, arguments: tuple[str, ...], words: str
) -> None:
    (line,) = refused(run, *arguments)
    assert words in line
    assert line.endswith("--help")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("evaluate", "zoo:tiny/digts"),
            "zoo: the zoo holds the checkpoint, but tiny/digts came; did you mean “tiny/digits”?",
        ),
        (
            ("evaluate", "zoo:tiny/digits", "--family", "tny"),
            "zoo: the zoo holds the family, but tny came; did you mean “tiny”?",
        ),
        (
            ("evaluate", "zoo:tiny/digits", "--task", "digts"),
            "--task: a task is one of tiny's, but digts came; did you mean “digits”?",
        ),
        (("plan", "no-such.json"), "recipe: a recipe is a file that exists, but no-such.json came; check the path."),
        (
            ("evaluate", "no-such.json"),
            "recipe: a recipe is a file that exists, but no-such.json came; check the path.",
        ),
        (
            ("evaluate", "hub:owner/name"),
            "hub:owner/name: the Hub may be asked from this machine, but offline mode came; "
            "unset HF_HUB_OFFLINE to allow requests.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_name_that_is_not_known_gets_the_closest(run: Run, arguments: tuple[str, ...], message: str) -> None:
    assert refused(run, *arguments) == [message]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("broken.json", '{"version": 1,'),
        ("broken.yaml", "version: [1"),
        ("alias.yaml", "version: 1\nbase: &b zoo:tiny/base\nmodels: [{ref: *b}]\n"),
        ("list.yaml", "- 1\n"),
        ("empty.yaml", ""),
        ("twice.json", '{"version": 1, "version": 1}'),
    ],
    ids=lambda value: value if "." in value[-6:] else "",
)
def test_a_file_that_is_no_recipe_is_refused(run: Run, write: Write, name: str, text: str) -> None:
    assert len(refused(run, "plan", write(name, text))) >= 1


def test_two_models_without_a_common_space_have_no_line_between_them(run: Run, trio: Trio, tmp_path: Path) -> None:
    wide = save(tmp_path / "wide", tensors(0.1) | {"layers.1.bias": torch.zeros(5)}, CONFIG | {"num_labels": 5})
    lines = refused(run, "interpolate", f"file:{trio.a}", f"file:{wide}", "--family", "basins")
    assert any("layers.1" in line or "num_labels" in line for line in lines)


def test_a_checkpoint_that_no_task_fits_says_what_to_do(run: Run, trio: Trio) -> None:
    (line,) = refused(run, "evaluate", f"file:{trio.a}")
    assert "--family" in line

"""The records that controls and checks are made from."""

from __future__ import annotations

import pytest

from merging_core.methods.info import ParameterInfo, Parameters, check_parameters, shown

DENSITY = ParameterInfo("density", "Density", "number", 0.2, "Kept.", 0.0, 1.0, True)
COUNT = ParameterInfo("count", "Count", "integer", 3, "How many.", 0, 10)
SWITCH = ParameterInfo("on", "On", "switch", True, "Whether.")
CHOICE = ParameterInfo("rule", "Rule", "choice", "value", "Which.", choices=("value", "sum"))
POINTS = ParameterInfo("points", "Points", "curve", (1.0, 1.0), "Factors.", -5.0, 5.0)
NAN, INFINITY = float("nan"), float("inf")


def short(value: object) -> str:
    """Name a case: Python does not write numbers of thousands of digits."""
    return value.name if isinstance(value, ParameterInfo) else ascii(shown(value))[:30]


@pytest.mark.parametrize(
    ("info", "value"),
    [
        *((DENSITY, value) for value in (0.0, -0.1, 1.1, NAN, INFINITY, -INFINITY, True, "0.2", None, [0.2], 10**400)),
        *((COUNT, value) for value in (2.5, -1, 11, True, "3", None, NAN, 10**5000)),
        *((SWITCH, value) for value in (0, 1, "true", None)),
        *((CHOICE, value) for value in ("", "vale", 1, None, ["value"], {})),
        *((POINTS, value) for value in ([1.0], 1.0, "11", [1.0, 6.0], [1.0, NAN], [1, True], [1.0] * 65, None)),
    ],
    ids=short,
)
def test_a_wrong_value_is_a_problem_with_its_place(info: ParameterInfo, value: object) -> None:
    problem = info.problem(value, "here")
    assert problem is not None
    assert problem.where == "here"
    assert str(problem).startswith(f"here: {info.name} ")


@pytest.mark.parametrize(
    ("info", "value", "kept"),
    [
        (DENSITY, 1, 1.0),
        (COUNT, 4.0, 4),
        (SWITCH, False, False),
        (CHOICE, "sum", "sum"),
        (POINTS, [0, 0.5, 1], (0.0, 0.5, 1.0)),
    ],
)
def test_a_right_value_is_kept_in_its_one_type(info: ParameterInfo, value: object, kept: object) -> None:
    assert info.problem(value, "here") is None
    found = info.coerced(value)
    assert found == kept
    assert type(found) is type(kept)


def test_minus_zero_is_zero() -> None:
    assert str(ParameterInfo("x", "X", "number", 0.0, "X.").coerced(-0.0)) == "0.0"


def test_a_parameter_that_depends_on_another_exists_only_beside_it() -> None:
    alpha = ParameterInfo("alpha", "α", "number", 0.5, "First.", only_when=("rule", "value"))
    assert check_parameters({}, (alpha, CHOICE), "s")[0] == {"alpha": 0.5, "rule": "value"}
    assert check_parameters({"rule": "sum"}, (alpha, CHOICE), "s") == ({"rule": "sum"}, ())
    _, problems = check_parameters({"rule": "sum", "alpha": 0.1}, (alpha, CHOICE), "s")
    assert [problem.where for problem in problems] == ["s.alpha"]


def test_all_problems_come_at_once() -> None:
    _, problems = check_parameters({"density": 2, "cuont": 1, "on": 1}, (DENSITY, COUNT, SWITCH), "m")
    assert sorted(problem.where for problem in problems) == ["m.cuont", "m.density", "m.on"]


def test_parameters_cannot_be_changed_and_serve_as_keys() -> None:
    first, second = Parameters(a=1.0, b="x"), Parameters({"b": "x"}, a=1.0)
    assert first == second
    assert hash(first) == hash(second)
    assert first.changed(a=2.0) != first
    assert first["a"] == 1.0
    with pytest.raises(TypeError):
        first["a"] = 2.0  # type: ignore[index]
    with pytest.raises(TypeError, match="b is no number"):
        first.number("b")


@pytest.mark.parametrize(
    "value",
    ["x" * 10_000, 10**5000, [[[]]] * 100, {"a": {"b": 1}}, object(), "\ud800"],
    ids=["text", "number", "list", "mapping", "object", "half a character"],
)
def test_any_value_can_be_shown_shortly(value: object) -> None:
    assert len(shown(value)) <= 61


def test_bounds_are_written_out_alike() -> None:
    assert ParameterInfo("w", "W", "number", 1.0, "W.", -1e6, 1e6).range() == "[-1000000, 1000000]"

"""Specifications of studies: read strictly, and back again."""

from __future__ import annotations

import pytest

from merging_core.analysis.studies.registry import studies
from merging_core.analysis.studies.spec import parse_study
from merging_core.errors import RecipeError


def given(**changed: object) -> dict[str, object]:
    models = ["zoo:tiny/digits", "zoo:tiny/greek"]
    return {"version": 1, "study": {"name": "interpolate"}, "models": models, **changed}


@pytest.mark.parametrize("info", studies(), ids=lambda info: info.name)
def test_every_study_reads_back_what_it_writes(info: object) -> None:
    fewest = info.models[0]  # type: ignore[attr-defined]
    refs = ["zoo:tiny/digits", "zoo:tiny/greek", "zoo:tiny/letters", "zoo:tiny/styles"][: max(1, fewest)]
    spec = parse_study(given(study=info.name, models=refs, base="zoo:tiny/base"))  # type: ignore[attr-defined]
    assert parse_study(spec.as_json()) == spec


def test_a_merge_may_be_one_of_the_models() -> None:
    recipe = {"version": 1, "base": "zoo:tiny/base", "models": [{"ref": "zoo:tiny/digits"}], "method": {"name": "ties"}}
    spec = parse_study(given(models=["zoo:tiny/greek", {"recipe": recipe}]))
    assert parse_study(spec.as_json()) == spec


def test_every_problem_is_said_at_once() -> None:
    wrong = given(study={"name": "interpolate", "params": {"points": 1}}, models=["digits"], splits=["test"], sed=1)
    with pytest.raises(RecipeError) as caught:
        parse_study(wrong)
    places = [problem.where for problem in caught.value.problems]
    assert places == ["study", "study.params.points", "models", "splits"]

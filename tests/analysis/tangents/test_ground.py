"""Which task belongs to which model: by name where names tell, else by the losses."""

from __future__ import annotations

from dataclasses import replace

from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import parse_study
from merging_core.analysis.tangents.ground import Ground, ground_of
from tests.analysis.studies.small import small_bench


def ground(tasks: tuple[str, ...]) -> Ground:
    """Two perceptrons of the zoo, which both know digits, and tasks: one as it is, those named “rolled” mislabelled."""
    bench = small_bench()
    (task,) = bench.tasks
    wrong = {
        name: replace(split, labels=None if split.labels is None else split.labels.roll(1))
        for name, split in task.splits.items()
    }
    made = [replace(task, name=name, splits=wrong if name.endswith("rolled") else task.splits) for name in tasks]
    models = ["zoo:basins/left", "zoo:basins/right"]
    given = {"version": 1, "study": {"name": "disentangle"}, "base": "zoo:basins/stranger-1", "models": models}
    return ground_of(parse_study(given), replace(bench, tasks=tuple(made)), Memory())


def test_names_tell_where_all_models_are_called_as_tasks_are() -> None:
    found = ground(("basins/right", "other", "basins/left"))
    assert [task.name for task in found.own_tasks(2)] == ["basins/left", "basins/right"]
    assert list(found.memory) == []


def test_losses_tell_where_names_do_not_and_each_task_is_taken_once() -> None:
    found = ground(("a rolled", "b", "c rolled", "d"))
    assert {task.name for task in found.own_tasks(2)} == {"b", "d"}


def test_models_share_a_task_where_there_are_too_few() -> None:
    assert [task.name for task in ground(("only",)).own_tasks(2)] == ["only", "only"]

"""Imports point down: the order of the rooms is written here once, and every import is read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Lower rooms first; a room imports from its own floor and from those below.
CORE_FLOORS = (
    {"errors", "caches", "cores", "pace", "process", "spreadsheets"},
    {"native"},
    {"checkpoints"},
    {"space"},
    {"methods", "masks", "scaling"},
    {"recipes"},
    {"engines", "evaluation", "cards"},
    {"search", "analysis", "learning", "alignment"},
    {"export", "hub"},
    {"cli"},
    {"__main__"},
)
SHELL = {"app", "gradio", "gradio_client", "plotly", "starlette", "fastapi", "uvicorn"}
WITHOUT_GRADIO = ("app/charts/", "app/state.py", "app/settings.py", "app/families.py", "app/sharing/")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, at_import_only: bool = False) -> Iterator[str]:
    """Yield the dotted names that a file imports; those inside functions too, unless told otherwise."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = path.relative_to(ROOT).parent.parts
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)
        if at_import_only and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_for_types_only(node)):
            continue
        pending.extend(ast.iter_child_nodes(node))


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def floor(module: str) -> int | None:
    parts = module.split(".")
    if parts[0] != "merging_core" or len(parts) == 1:
        return None
    return next((number for number, rooms in enumerate(CORE_FLOORS) if parts[1] in rooms), None)


@pytest.mark.parametrize("path", sources("merging_core"), ids=module_name)
def test_the_core_knows_nothing_of_the_shell(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path)} & SHELL == set()


@pytest.mark.parametrize("path", sources("merging_core"), ids=module_name)
def test_imports_point_down(path: Path) -> None:
    own = floor(module_name(path))
    if own is None:
        assert module_name(path) == "merging_core", f"{path.name} stands on no floor: name its room in CORE_FLOORS"
        return
    upward = [name for name in imports(path) if (below := floor(name)) is not None and below > own]
    assert upward == []


@pytest.mark.parametrize(
    "path",
    [path for path in sources("app") if path.relative_to(ROOT).as_posix().startswith(WITHOUT_GRADIO)],
    ids=module_name,
)
def test_charts_and_state_know_nothing_of_gradio(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path)} & {"gradio", "plotly"} == set()


def test_only_the_top_of_the_app_imports_its_views_and_its_main() -> None:
    upward = [
        (module_name(path), name)
        for path in sources("app")
        for name in imports(path)
        if name.startswith(("app.views", "app.main"))
        and module_name(path).split(".")[:2] not in (["app", "main"], ["app", "views"])
    ]
    assert upward == []


def test_no_module_of_the_project_imports_itself_by_a_detour() -> None:
    files = {module_name(path): path for path in sources("merging_core", "app")}
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        found = (name if name in files else name.rpartition(".")[0] for name in imports(path, at_import_only=True))
        graph[module] = {name for name in found if name in files and name != module}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"these modules import each other: {' → '.join(error.args[1])}")
    assert len(order) == len(files)


def test_the_walk_sees_every_kind_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    source = tmp_path / "merging_core" / "space" / "depth.py"
    source.parent.mkdir(parents=True)
    source.write_text(
        "import a.b\nfrom c import d\nfrom . import e\nfrom ..errors import f\ndef late():\n    import gradio\n"
    )
    everything = {"a.b", "c.d", "merging_core.space.e", "merging_core.errors.f", "gradio"}
    assert set(imports(source)) == everything
    assert set(imports(source, at_import_only=True)) == everything - {"gradio"}

"""LoRA adapters in the studio: experts of a base, with the numbers of the whole models that they stand for."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from app.export.planning import Planner
from app.export.work import export
from app.ledger import Ledger
from app.live import Scheduler
from app.looking.looks import Looks
from app.models.service import Models
from app.picker.pictures import MethodPictures
from app.settings import Settings
from app.sharing.link import decode, encode
from app.state import StudioState, parse_state
from app.studio.bench import ZooBench
from app.uploads.intake import Intake
from app.uploads.problems import UploadError
from app.uploads.shelf import UploadLimits, Uploads
from merging_core.errors import CheckpointError
from tests.app.wire import sentences

ZOO = Path(__file__).resolve().parents[3] / "assets" / "zoo"
LAYERS = ("encoder.layers.0.mlp.fc1", "encoder.layers.3.self_attn.q_proj")
RANK, ALPHA = 2, 3
SAYS = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "base_model_name_or_path": "ada/base"}
TASK = "tiny/digits"


def never() -> bool:
    return False


def factors() -> dict[str, torch.Tensor]:
    base, made = load_file(ZOO / "tiny" / "base" / "model.safetensors"), torch.Generator().manual_seed(5)
    found = {}
    for layer in LAYERS:
        rows, columns = base[f"{layer}.weight"].shape
        found[f"base_model.model.{layer}.lora_A.weight"] = 0.2 * torch.randn(RANK, columns, generator=made)
        found[f"base_model.model.{layer}.lora_B.weight"] = 0.2 * torch.randn(rows, RANK, generator=made)
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter, and the whole model that it stands for, added up in float64."""
    root, lora = tmp_path_factory.mktemp("models"), factors()
    shutil.copytree(ZOO / "tiny" / "base", root / "whole")
    whole = load_file(root / "whole" / "model.safetensors")
    for layer in LAYERS:
        a, b = (lora[f"base_model.model.{layer}.lora_{name}.weight"].double() for name in "AB")
        whole[f"{layer}.weight"] = (whole[f"{layer}.weight"].double() + ALPHA / RANK * (b @ a)).float()
    save_file(whole, root / "whole" / "model.safetensors")
    (root / "lora").mkdir()
    save_file(lora, root / "lora" / "adapter_model.safetensors")
    (root / "lora" / "adapter_config.json").write_text(json.dumps(SAYS))
    return root


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uploads]:
    made = Uploads(tmp_path_factory.mktemp("data"), UploadLimits(10**8, 10**9, 10**9))
    yield made
    made.close()


@pytest.fixture(scope="module")
def bench(folders: Path, uploads: Uploads) -> ZooBench:
    settings = Settings.from_env({"BASIN_DEVICE": "cpu", "BASIN_MODELS": str(folders)}, make_folder=False)
    return ZooBench(settings, uploads=uploads.checkpoints)


@pytest.fixture(scope="module")
def picker(bench: ZooBench, uploads: Uploads) -> Iterator[Models]:
    scheduler = Scheduler()
    yield Models(bench, scheduler, uploads=uploads)
    scheduler.close()


def checked(picker: Models, base: str | None, *experts: str, tasks: tuple[str, ...] = (TASK,)) -> dict[str, Any]:
    rows = [{"ref": ref, "task": TASK if ref != "zoo:tiny/letters" and tasks else None} for ref in experts]
    wanted = {"base": base, "experts": rows, "tasks": list(tasks)}
    found: dict[str, Any] = asyncio.run(picker.check("ann", wanted))
    return found


def state_of(
    bench: ZooBench, picker: Models, expert: str, tasks: tuple[str, ...] = (TASK,), **recipe: Any
) -> StudioState:
    answer = checked(picker, "zoo:tiny/base", expert, "zoo:tiny/letters", tasks=tasks)
    assert answer["ok"], answer
    return parse_state({**answer["state"], "recipe": {**answer["state"]["recipe"], **recipe}}, bench.families)


def given(uploads: Uploads, kind: str, name: str, config: bytes, data: bytes) -> dict[str, Any]:
    with uploads.arriving("ann", len(config + data)) as place:
        intake = Intake(place.folder, kind, name, len(data), len(config))
        try:
            intake.take(config + data)
            return place.keep(intake.finish(10**8), name).as_json()
        finally:
            intake.close()


def archive(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return made.getvalue()


def test_an_adapter_of_a_folder_is_listed_and_described_with_rank_and_targets(picker: Models) -> None:
    rows = {row["ref"]: row["adapter"] for row in picker.list("ann", {})["checkpoints"] if "adapter" in row}
    facts = {"ranks": [RANK, RANK], "targets": ["fc1", "q_proj"], "more": 0, "base": "ada/base"}
    assert rows == {"local:lora": facts, "local:whole": None}
    described = checked(picker, "zoo:tiny/base", "local:lora")["checkpoints"]
    assert [row["adapter"] for row in described] == [None, facts]


def test_an_adapter_has_the_numbers_of_the_whole_model_wherever_a_merge_is_looked_at(
    bench: ZooBench, picker: Models, folders: Path
) -> None:
    ours, theirs = (state_of(bench, picker, ref, **{"lambda": 0.7}) for ref in ("local:lora", "local:whole"))
    mine, other = (bench.accuracy(state, "validation", "preview", never) for state in (ours, theirs))
    assert (mine.correct[TASK] == other.correct[TASK]).all()
    assert mine.numbers["tasks"][0]["references"] == other.numbers["tasks"][0]["references"]
    assert mine.numbers["tasks"][0]["loss"] == pytest.approx(other.numbers["tasks"][0]["loss"], abs=1e-5)
    norms = [bench.layers(state)["experts"][0]["norms"] for state in (ours, theirs)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-5) and max(norms[0]) > 0
    paths = [bench.path(state, False, never)["splits"]["validation"]["points"] for state in (ours, theirs)]
    assert [point["loss"] for point in paths[0]] == pytest.approx([point["loss"] for point in paths[1]], abs=1e-5)
    engine = bench.models().engine
    for method in ("linear", "task_arithmetic"):
        changed = [
            parse_state(
                {**state.as_json(), "recipe": state.recipe.as_json() | {"method": {"name": method}}}, bench.families
            )
            for state in (ours, theirs)
        ]
        merged = [engine.merge(state.recipe).flat for state in changed]
        assert torch.allclose(*merged, atol=1e-6)
    between = {"kind": "between", "a": "local:lora", "b": "zoo:tiny/letters"}
    bent = parse_state({**ours.as_json(), "path": between}, bench.families)
    assert bench.path(bent, False, never)["splits"]["validation"]["points"]
    family = bench._family(ours)
    look = Looks(bench.models()).look(ours, family, TASK, never)
    assert look["expert"]["ref"] == "local:lora"
    assert MethodPictures(bench.models()).look(ours, family)["n"] > 0
    assert parse_state(decode(encode(ours.as_json())), bench.families) == ours


def test_an_adapter_is_exported_as_the_engines_merge_it(
    bench: ZooBench, picker: Models, folders: Path, tmp_path: Path
) -> None:
    state, ledger = state_of(bench, picker, "local:lora", tasks=()), Ledger(None)
    planner = Planner(bench, ledger, ZOO, folders, tmp_path, 10**9)
    payload = planner.payload("ann", state, planner.plan(state, None)[0], None, never)
    assert payload["hash"] == bench.identity(state)

    class Quiet:
        cancelled = staticmethod(never)

        def log(self, text: str) -> None: ...
        def progress(self, share: float, what: str, done: int = 0, standing: Any = None) -> None: ...

    quiet: Any = Quiet()
    export(payload, tmp_path, quiet)
    written = load_file(tmp_path / "result" / "model.safetensors")
    merged = bench.models().engine.merge(state.recipe).weights
    assert written.keys() == merged.keys() and all(written[name].equal(merged[name]) for name in merged)
    assert "local:lora" in (tmp_path / "result" / "README.md").read_text()
    ledger.close()


def test_an_adapter_is_uploaded_as_two_files_or_in_an_archive_and_is_the_same_expert(
    bench: ZooBench, picker: Models, uploads: Uploads, folders: Path
) -> None:
    config = json.dumps(SAYS).encode()
    data = save(factors())
    packed = {"run/adapter_config.json": config, "run/adapter_model.safetensors": data, "run/README.md": b"words"}
    two = given(uploads, "checkpoint", "mine", config, data)
    one = given(uploads, "data", "mine", b"", archive(packed))
    assert one == two and two["form"] == "checkpoint" and two["adapter"]["ranks"] == [RANK, RANK]
    names = {path.name for path in (uploads.root / two["ref"].split(":")[1].split("/")[0]).iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "upload.json", "owners.json"}
    row = next(row for row in picker.list("ann", {})["checkpoints"] if row["ref"] == two["ref"])
    assert row["adapter"]["targets"] == ["fc1", "q_proj"] and row["group"] == "Your uploads"
    ours, theirs = (state_of(bench, picker, ref, tasks=()) for ref in (two["ref"], "local:lora"))
    engine = bench.models().engine
    assert engine.merge(ours.recipe).flat.equal(engine.merge(theirs.recipe).flat)


@pytest.mark.parametrize(
    ("config", "data", "said"),
    [
        (b"", save(factors()), "a LoRA adapter comes with its adapter_config.json"),
        (b"{}", save(factors()), "a LoRA adapter comes with its adapter_config.json"),
        (json.dumps(SAYS).encode(), save({"w": torch.zeros(2)}), "holds the factors A and B of layers, but none came"),
        (b'{"peft_type": "IA3"}', save(factors()), "an adapter is a LoRA adapter"),
        (json.dumps(SAYS | {"use_dora": True}).encode(), save(factors()), "DoRA"),
    ],
)
def test_half_an_adapter_or_another_kind_is_refused_by_name(
    config: bytes, data: bytes, said: str, uploads: Uploads
) -> None:
    with pytest.raises((UploadError, CheckpointError), match=said):
        given(uploads, "checkpoint", "mine", config, data)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"adapter_config.json": b"{", "adapter_model.safetensors": b"x"}, "adapter_config.json"),
        ({"adapter_config.json": json.dumps(SAYS).encode(), "adapter_model.safetensors": b"x"}, "mine"),
        ({"adapter_config.json": b" " * (2 << 20), "adapter_model.safetensors": b"x"}, "unfolds at most|at most"),
        ({"a/adapter_config.json": b"{}", "b/adapter_model.safetensors": b"x"}, "an archive holds pictures"),
    ],
)
def test_an_archive_that_only_looks_like_an_adapter_is_refused(
    files: dict[str, bytes], said: str, uploads: Uploads
) -> None:
    with pytest.raises((UploadError, CheckpointError), match=said):
        given(uploads, "data", "mine", b"", archive(files))


def test_what_a_stranger_s_adapter_says_of_itself_is_short_and_quick(uploads: Uploads) -> None:
    patterns = {f"a{place}.*b.*": 2 for place in range(4_000)}
    names = {f"base_model.model.{place}.{'x' * 90}{place % 20}": torch.zeros(2, 1) for place in range(300)}
    leaves = {f"{name}.lora_A.weight": leaf for name, leaf in names.items()}
    config = json.dumps(SAYS | {"rank_pattern": patterns}).encode()
    facts = given(uploads, "checkpoint", "mine", config, save(leaves))["adapter"]
    assert facts["ranks"] == [2, 2] and len(facts["targets"]) + facts["more"] == 1
    assert all(len(target) <= 40 for target in facts["targets"])


def test_an_adapter_that_does_not_fit_says_so_by_name(picker: Models, folders: Path) -> None:
    alone = sentences(checked(picker, None, "local:lora", tasks=()))
    assert len(alone) == 1 and "local:lora" in alone[0] and "names its base" in alone[0]
    as_base = sentences(checked(picker, "local:lora", "zoo:tiny/digits", tasks=()))
    assert any("the base is a whole model" in one for one in as_base)
    wrong = folders / "wrong"
    wrong.mkdir()
    odd = {name.replace("layers.3", "layers.33"): leaf for name, leaf in factors().items()}
    save_file(odd, wrong / "adapter_model.safetensors")
    (wrong / "adapter_config.json").write_text(json.dumps(SAYS | {"r": 3}))
    told = sentences(checked(picker, "zoo:tiny/base", "local:wrong", tasks=()))
    assert any("encoder.layers.33.self_attn.q_proj.weight, which is none" in one for one in told)
    assert any("as the rank of its configuration says" in one and "local:wrong" in one for one in told)
    shutil.rmtree(wrong)

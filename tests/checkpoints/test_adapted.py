"""A LoRA adapter over its base says what PEFT makes of the two."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from merging_core.checkpoints import open_checkpoint, parse_ref
from merging_core.checkpoints.adapted import AdaptedCheckpoint, adapted
from merging_core.errors import CheckpointError

CONFIG: dict[str, Any] = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}


def made(folder: Path, leaves: dict[str, torch.Tensor]) -> Path:
    folder.mkdir()
    save_file(leaves, folder / "model.safetensors")
    return folder


def lora(folder: Path, leaves: dict[str, torch.Tensor], **config: object) -> Path:
    folder.mkdir()
    save_file({f"base_model.model.{name}": leaf for name, leaf in leaves.items()}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}), encoding="utf-8")
    return folder


def opened(base: Path, adapter: Path) -> AdaptedCheckpoint:
    return adapted(
        open_checkpoint(base, parse_ref(f"file:{base}")), open_checkpoint(adapter, parse_ref(f"file:{adapter}"))
    )


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


@pytest.fixture
def wide(tmp_path: Path) -> AdaptedCheckpoint:
    base = made(tmp_path / "base", {"q.weight": random(70, 1000).bfloat16(), "q.bias": random(70)})
    return opened(base, lora(tmp_path / "lora", {"q.lora_A.weight": random(2, 1000), "q.lora_B.weight": random(70, 2)}))


@pytest.mark.filterwarnings("ignore")  # of two packages about one another
def test_it_is_what_peft_merges(tmp_path: Path) -> None:
    import peft  # noqa: PLC0415
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    def llama() -> Any:
        sizes = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "attention_bias": True}
        return LlamaForCausalLM(LlamaConfig(**sizes, **heads))

    def gpt2() -> Any:
        return GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=32, n_embd=16, n_layer=2, n_head=4))

    cases: list[tuple[Any, dict[str, Any]]] = [
        (llama, {"target_modules": ["q_proj", "down_proj"], "rank_pattern": {"down_proj": 3}, "use_rslora": True}),
        (llama, {"target_modules": ["v_proj", "embed_tokens"], "alpha_pattern": {r"layers\.1\.self_attn\.v_proj": 7}}),
        (llama, {"target_modules": ["o_proj"], "modules_to_save": ["lm_head", "norm"], "bias": "all"}),
        (
            llama,
            {"target_modules": ["q_proj"], "lora_bias": True, "rank_pattern": {"^model.layers.0.self_attn.q_proj": 1}},
        ),
        (gpt2, {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    ]
    for place, (build, settings) in enumerate(cases):
        torch.manual_seed(place)
        model = build()
        model.save_pretrained(tmp_path / f"base-{place}")
        tuned = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=5, **settings))
        with torch.no_grad():
            for parameter in tuned.parameters():
                if parameter.requires_grad:
                    parameter.normal_()
        tuned.save_pretrained(str(tmp_path / f"lora-{place}"))
        found = opened(tmp_path / f"base-{place}", tmp_path / f"lora-{place}")
        wanted = tuned.merge_and_unload().state_dict()
        for name in found.leaves:
            torch.testing.assert_close(found.read(name), wanted[name], rtol=1e-5, atol=1e-5, msg=f"{place} {name}")
        before = load_file(tmp_path / f"base-{place}" / "model.safetensors")
        moved = {name for name in found.leaves if not torch.equal(wanted[name], before[name])}
        assert moved == set(found.changes)


def test_a_leaf_is_the_same_bits_however_it_is_cut(wide: AdaptedCheckpoint) -> None:
    whole = wide.read("q.weight").reshape(-1)
    assert whole.dtype == torch.float32
    for cuts in ([0, 70_000], [0, 1, 999, 1000, 1001, 32_999, 33_000, 69_999, 70_000], list(range(0, 70_001, 7_000))):
        with wide.reading() as reading:
            parts = [reading.read_range("q.weight", *cut) for cut in zip(cuts, cuts[1:], strict=False)]
        assert torch.equal(torch.cat(parts), whole)


def test_a_leaf_is_rounded_once_from_float64(wide: AdaptedCheckpoint) -> None:
    b, a = (wide.lora.read(f"base_model.model.q.lora_{name}.weight").double() for name in "BA")
    exact = wide.base.read("q.weight").double() + 2.0 * sum(b[:, k : k + 1] * a[k : k + 1] for k in range(2))
    error = (wide.read("q.weight").double() - exact).abs()
    assert (error <= exact.abs() * 2.0**-24 + 1e-14).all()
    assert torch.equal(wide.read("q.bias"), wide.base.read("q.bias"))


def test_names_may_begin_otherwise_than_in_the_base(tmp_path: Path) -> None:
    base = made(tmp_path / "base", {"h.0.q.weight": random(4, 4), "h.1.q.weight": random(4, 4)})
    factors = {
        f"transformer.h.{block}.q.lora_{name}.weight": random(*shape)
        for block in range(2)
        for name, shape in (("A", (2, 4)), ("B", (4, 2)))
    }
    assert list(opened(base, lora(tmp_path / "lora", factors)).changes) == ["h.0.q.weight", "h.1.q.weight"]


def test_everything_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    base = made(tmp_path / "base", {"q.weight": random(4, 6), "v.weight": random(4, 6), "k.weight": random(4, 6)})
    leaves = {
        "q.lora_A.weight": random(2, 5),
        "q.lora_B.weight": random(4, 2),
        "v.lora_A.weight": random(3, 6),
        "v.lora_B.weight": random(4, 3),
        "k.lora_A.weight": random(2, 6),
        "z.lora_A.weight": random(2, 6),
        "z.lora_B.weight": random(4, 2),
    }
    with pytest.raises(CheckpointError) as caught:
        opened(base, lora(tmp_path / "lora", leaves))
    told = str(caught.value)
    for part in ("[4, 5]", "A is [2, in]", "only base_model.model.k.lora_A.weight", "z.weight, which is none"):
        assert part in told
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"something_new": 3}, "something_new"),
        ({"rank_pattern": {"(a+)+b": 3}}, "(a+)+b"),
        ({"r": 0}, "r is a whole number"),
        ({"lora_alpha": float("nan")}, "lora_alpha is a number"),
    ],
)
def test_what_would_change_the_weights_otherwise_is_refused_by_name(
    tmp_path: Path, settings: dict[str, object], named: str
) -> None:
    folder = lora(tmp_path / "lora", {"q.lora_A.weight": random(2, 4), "q.lora_B.weight": random(4, 2)}, **settings)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder, parse_ref(f"file:{folder}"))
    assert named in str(caught.value)


def test_an_adapters_identity_is_its_weights_and_what_its_configuration_does_to_them(tmp_path: Path) -> None:
    factors = {"q.lora_A.weight": random(2, 4), "q.lora_B.weight": random(4, 2)}
    settings: list[dict[str, object]] = [{}, {"lora_dropout": 0.1, "task_type": "CAUSAL_LM"}, {"lora_alpha": 8}]
    folders = [lora(tmp_path / f"lora-{place}", factors, **one) for place, one in enumerate(settings)]
    plain, same, other = (open_checkpoint(folder, parse_ref(f"file:{folder}")).content() for folder in folders)
    assert plain == same != other
    bases = [made(tmp_path / f"base-{seed}", {"q.weight": random(4, 4, seed=seed)}) for seed in range(2)]
    first, second = (opened(base, folders[0]) for base in bases)
    assert first.pin_content == second.pin_content == plain
    assert first.content() != second.content()

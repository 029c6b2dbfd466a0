"""`merge` from end to end: what transformers saved beside the base is beside the result, and does the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.utils import logging

from tests.cli.conftest import Run, Write
from tests.engines.families import IMAGE_TOKEN, model_of, saved

WORDS = ("<pad>", "<s>", "</s>", "<unk>", "red", "blue", "what", "colour", "is", "it")
CHAT = "{% for message in messages %}{{ message.role }} {{ message.content }} {% endfor %}"
OURS = {"README.md", "recipe.json", "config.json", "model.safetensors"}


@pytest.fixture(autouse=True)
def no_bars() -> None:
    logging.disable_progress_bar()


def tokenizer() -> Any:
    known = {word: number for number, word in enumerate(WORDS)} | {"<image>": IMAGE_TOKEN}
    found = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    found.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special: dict[str, Any] = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    special |= {"extra_special_tokens": {"image_token": "<image>"}}
    return hf.PreTrainedTokenizerFast(tokenizer_object=found, **special, chat_template=CHAT)


def merged(run: Run, write: Write, name: str, beside: Any, folder: Path) -> Path:
    """Merge two models onto a base, beside which `beside` was saved."""
    refs = [saved(model_of(name, seed), folder / str(seed)) for seed in range(3)]
    beside.save_pretrained(folder / "0")
    given = {"version": 1, "base": refs[0], "models": [{"ref": ref} for ref in refs[1:]], "method": {"name": "ties"}}
    out = folder / "merged"
    answer = run("merge", write("recipe.json", given), str(out))
    assert answer.status == 0, answer.err
    there = {path.name: path.read_bytes() for path in (folder / "0").iterdir() if path.name not in OURS}
    assert there == {path.name: path.read_bytes() for path in out.iterdir() if path.name not in OURS}
    return out


def test_a_language_model_speaks_as_its_base_does(run: Run, write: Write, tmp_path: Path) -> None:
    own = tokenizer()
    out = merged(run, write, "Gemma", own, tmp_path)
    found = hf.AutoTokenizer.from_pretrained(out, local_files_only=True)
    chat = [{"role": "what", "content": "colour is it"}]
    assert found.chat_template == CHAT
    assert found.apply_chat_template(chat)["input_ids"] == own.apply_chat_template(chat)["input_ids"] != []
    stated = hf.GenerationConfig.from_pretrained(out)
    assert (stated.bos_token_id, stated.eos_token_id) == (1, 2)
    model = hf.AutoModelForCausalLM.from_pretrained(out, local_files_only=True)
    written = model.generate(**found("what colour is it", return_tensors="pt"), max_new_tokens=2, do_sample=False)
    assert written.shape[1] > 4


def test_a_model_that_sees_and_reads_keeps_its_processor(run: Run, write: Write, tmp_path: Path) -> None:
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    own = hf.LlavaProcessor(
        pictures, tokenizer(), patch_size=4, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=CHAT,
    )  # fmt: skip
    out = merged(run, write, "LLaVA", own, tmp_path)
    found = hf.LlavaProcessor.from_pretrained(out, local_files_only=True)
    picture = torch.arange(3 * 8 * 8, dtype=torch.uint8).view(8, 8, 3).numpy()
    inputs = found(images=picture, text="<image> what colour is it", return_tensors="pt")
    same = own(images=picture, text="<image> what colour is it", return_tensors="pt")
    assert torch.equal(inputs["input_ids"], same["input_ids"]) and found.chat_template == CHAT
    assert torch.equal(inputs["pixel_values"], same["pixel_values"])
    model = hf.LlavaForConditionalGeneration.from_pretrained(out, local_files_only=True)
    with torch.inference_mode():
        assert model(**inputs).logits.isfinite().all()

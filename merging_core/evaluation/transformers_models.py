"""Models of transformers as pure functions of their weights.

A model is built once from an allowlisted configuration (`allowed_models`) as a *skeleton*: every leaf is one number,
expanded to its shape, so it takes no memory. `torch.func.functional_call` puts the weights in their places without
copying them. While it computes, the skeleton's leaves are swapped, so each thread takes a skeleton of its own.

Names in a file and names in a model are two spaces: transformers renames what older versions wrote. Here it says
itself how: it loads numbered leaves, and where each number is found is which leaf of the file belongs there.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import torch

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.allowed_models import AllowedModel
from merging_core.evaluation.token_rows import trimmed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["TransformersModel"]

Shapes = Mapping[str, tuple[int, ...]]
_SPELLINGS = 64
_SCORES = 1 << 25
"""Most logits of a language model that are held at once, in elements (128 MiB)."""


class TransformersModel:
    """One model class with its configuration, for any number of threads.

    `leaves`: names and shapes of its leaves; a leaf that is tied to another is not listed. `head`: those outside the
    model's body.
    Raises EvaluationError where transformers refuses the configuration.
    """

    def __init__(self, allowed: AllowedModel) -> None:
        self.allowed = allowed
        self._lock = threading.Lock()
        self._idle: list[PreTrainedModel] = []
        self._spellings: dict[tuple[tuple[str, tuple[int, ...]], ...], Mapping[str, str]] = {}
        with torch.device("meta"):
            empty = self._built()
        self.leaves: Mapping[str, tuple[int, ...]] = {
            name: tuple(parameter.shape) for name, parameter in empty.named_parameters()
        }
        body = f"{empty.base_model_prefix}."
        self.head = tuple(name for name in self.leaves if not name.startswith(body))

    def spelling(self, shapes: Shapes) -> Mapping[str, str]:
        """Return the name in a file of each of the model's leaves, given the shapes of the file's floating leaves.

        Leaves that the file lacks, or has in another shape, are absent.
        """
        key = tuple(shapes.items())
        with self._lock:
            if key not in self._spellings:
                if len(self._spellings) >= _SPELLINGS:
                    self._spellings.pop(next(iter(self._spellings)))
                self._spellings[key] = self._spelled(shapes)
            return self._spellings[key]

    def forward(self, weights: Mapping[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        """Return what the class gives: logits `[n, classes]`, or of a language model `[n, length, 2]` (`token_scores`).

        `weights`: the leaves, by the model's names, on the device of `rows`.
        """
        if not self.allowed.width and self.allowed.vocabulary:
            return self._token_scores(weights, rows)
        if not self.allowed.vocabulary:
            return self._called(weights, {"pixel_values": rows})
        ids, marks, mask = trimmed(rows, self.allowed.padding)
        segments = {"token_type_ids": marks} if self.allowed.segments else {}
        return self._called(weights, {"input_ids": ids, "attention_mask": mask, **segments})

    def text_features(self, weights: Mapping[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
        """Return the projected features `[n, width]` of a text tower for token ids `[n, length]`."""
        return self._called(weights, {"input_ids": ids}, "text_embeds")

    def _token_scores(self, weights: Mapping[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        """Return −log p of each scored token and whether it had the largest logit, `[n, length, 2]`; NaN elsewhere."""
        found = torch.full((len(rows), rows.shape[2], 2), float("nan"), device=rows.device)
        at_once = max(1, _SCORES // (rows.shape[2] * self.allowed.vocabulary))
        for start in range(0, len(rows), at_once):
            ids, marks, mask = trimmed(rows[start : start + at_once], self.allowed.padding)
            logits = self._called(weights, {"input_ids": ids, "attention_mask": mask, "use_cache": False})[:, :-1]
            following, scored = ids[:, 1:], marks[:, 1:].bool()
            nats = logits.logsumexp(dim=-1) - logits.gather(-1, following[..., None])[..., 0]
            right = (logits.argmax(dim=-1) == following) & torch.isfinite(nats)
            both = torch.stack((nats, right.float()), dim=-1)
            both[~scored] = float("nan")
            found[start : start + at_once, 1 : ids.shape[1]] = both
        return found

    def _called(
        self, weights: Mapping[str, torch.Tensor], inputs: dict[str, Any], gives: str = "logits"
    ) -> torch.Tensor:
        with self._skeleton() as skeleton:
            device = next(iter(weights.values())).device
            rest = (
                {name: buffer.to(device) for name, buffer in skeleton.named_buffers()} if device.type != "cpu" else {}
            )
            output = torch.func.functional_call(skeleton, {**rest, **weights}, (), inputs)
        answer: torch.Tensor = getattr(output, gives)
        return answer

    @contextmanager
    def _skeleton(self) -> Iterator[PreTrainedModel]:
        """Lend a skeleton that no other thread has; the first is only copied, and all share its expanded leaves."""
        with self._lock:
            skeleton = self._idle.pop() if len(self._idle) > 1 else None
            if skeleton is None:
                if not self._idle:
                    self._idle.append(self._loaded(dict(enumerate(self.leaves.items())))[0])
                first = self._idle[0]
                skeleton = copy.deepcopy(first, {id(leaf): leaf for leaf in first.parameters()})
        try:
            yield skeleton
        finally:
            with self._lock:
                self._idle.append(skeleton)

    def _spelled(self, shapes: Shapes) -> Mapping[str, str]:
        needed = sum(map(_size, self.leaves.values()))
        if 2 * sum(map(_size, shapes.values())) < needed:
            return {}
        numbered = dict(enumerate(shapes.items()))
        skeleton, absent = self._loaded(numbered)
        places = {
            name: int(leaf.detach().flatten()[0]) for name, leaf in skeleton.named_parameters() if name not in absent
        }
        return {name: numbered[place][0] for name, place in places.items()}

    def _loaded(self, numbered: Mapping[int, tuple[str, tuple[int, ...]]]) -> tuple[PreTrainedModel, frozenset[str]]:
        """Load numbered leaves, as from a file with these names and shapes; also return what was not found in it."""
        markers = {name: torch.tensor(float(number)).expand(shape) for number, (name, shape) in numbered.items()}
        try:
            with quietly():
                model, said = self._class.from_pretrained(
                    None, config=self._config(), state_dict=markers, output_loading_info=True, dtype=torch.float32,
                    ignore_mismatched_sizes=True,
                )  # fmt: skip
        except Exception as error:  # what a file can make transformers raise is listed nowhere
            must = f"transformers can read {self.allowed.name} out of these leaves"
            raise EvaluationError(Problem(must, type(error).__name__, "weights")) from None
        model.eval().requires_grad_(False)
        absent = {str(row[0]) for row in said["mismatched_keys"]} | {str(name) for name in said["missing_keys"]}
        return model, frozenset(absent)

    @cached_property
    def _class(self) -> Any:
        import transformers

        return getattr(transformers, self.allowed.name)

    def _config(self) -> Any:
        import transformers

        return getattr(transformers, self.allowed.config_class)(**self.allowed.values)

    def _built(self) -> PreTrainedModel:
        try:
            model: PreTrainedModel = self._class(self._config())
        except Exception as error:  # what a configuration can make transformers raise is listed nowhere
            must = f"transformers can build {self.allowed.name} from it"
            raise EvaluationError(Problem(must, type(error).__name__, "config.json")) from None
        return model


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers' progress bars and loading reports off the screen, and put both settings back."""
    from transformers.utils import logging

    with _turn():
        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        if bars:
            logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@cache
def _turn() -> threading.Lock:
    """The one lock of those who change settings of the whole process for a moment."""
    return threading.Lock()


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size

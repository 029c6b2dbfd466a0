"""Sentences into which CLIP's zero-shot heads put the name of a class.

Data, with its source: OpenAI's list of prompts (`data/prompts.md` of openai/CLIP), which the papers on merging and
FusionBench (`fusion_bench/tasks/clip_classification` of tanganke/fusion_bench) use for their eight tasks. SVHN has
those of MNIST, as in FusionBench. A data set that is not listed gets `GENERIC`, and `templates_for` says so.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["GENERIC", "TEMPLATES", "templates_for"]

GENERIC = ("a photo of a {}.",)
"""Radford et al. 2021, arXiv:2103.00020, section 3.1.4: the default prompt."""

_NUMBER = ('a photo of the number: "{}".',)
_ARTICLES = ("", "a ", "the ")
_VIEWS = ("satellite imagery", "aerial imagery", "satellite photo", "aerial photo", "satellite view", "aerial view")
_SURFACES = ("texture", "pattern", "thing", "object")

TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "sun397": ("a photo of a {}.", "a photo of the {}."),
    "stanford_cars": (
        "a photo of a {}.", "a photo of the {}.", "a photo of my {}.", "i love my {}!", "a photo of my dirty {}.",
        "a photo of my clean {}.", "a photo of my new {}.", "a photo of my old {}.",
    ),
    "resisc45": tuple(f"{view} of {article}{{}}." for article in _ARTICLES for view in _VIEWS),
    "eurosat": tuple(f"a centered satellite photo of {article}{{}}." for article in _ARTICLES),
    "svhn": _NUMBER,
    "gtsrb": tuple(f'a {how} photo of a "{{}}" traffic sign.' for how in ("zoomed in", "centered", "close up")),
    "mnist": _NUMBER,
    "dtd": tuple(f"a photo of {article} {{}} {what}." for article in ("a", "the") for what in _SURFACES),
}  # fmt: skip


def templates_for(name: str) -> tuple[tuple[str, ...], str]:
    """Return the templates of a data set, and a sentence that says whose they are.

    The name may be a repository's (`tanganke/stanford_cars`), in any case, with - for _.

    >>> templates_for("tanganke/eurosat")[0][1]
    'a centered satellite photo of a {}.'
    >>> templates_for("ylecun/flags")
    (('a photo of a {}.',), 'No prompts are known for flags: the generic “a photo of a {}.” is used.')
    """
    short = name.rpartition("/")[2].lower().replace("-", "_")
    if short in TEMPLATES:
        count = len(TEMPLATES[short])
        return TEMPLATES[
            short
        ], f"{count} prompt{'s' if count > 1 else ''} a class, as in OpenAI's list and FusionBench."
    return GENERIC, f"No prompts are known for {short}: the generic “{GENERIC[0]}” is used."

"""The pretext: hundreds of classes that no task contains, on which the base is pretrained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import torch

from assets.build.augment import Look
from assets.build.drawing import Mask, blob, discs, figure, glyph, scattered
from assets.build.fonts import Face, all_faces, faces_with
from assets.build.randomness import numpy_stream

FACES_PER_GLYPH = 12

LOOK = Look(rotation=15, shear=0.2, strokes=1, noise=(0.0, 0.06), blur=0.5)


def indic(block: int) -> str:
    """Return the independent vowels and the consonants of an Indic script from its Unicode block."""
    ranges = ((0x05, 0x0C), (0x15, 0x29), (0x2A, 0x31), (0x35, 0x3A))
    return "".join(chr(block + code) for first, end in ranges for code in range(first, end))


SCRIPTS: dict[str, str] = {
    "cyrillic": "бвгджзийлпцчшщъыьэюяєґђљњ",
    "hebrew": "".join(map(chr, range(0x5D0, 0x5EB))),
    "arabic": "".join(chr(c) for c in (*range(0x627, 0x63B), *range(0x641, 0x64B)) if c not in (0x629, 0x649)),
    "devanagari": indic(0x900),
    "thai": "".join(chr(c) for c in range(0xE01, 0xE2F) if c not in (0xE24, 0xE26)),
    "tamil": "அஆஇஈஉஎஏஐஒகஙசஞடணதநபமயரலவழளறன",
    "telugu": indic(0xC00),
    "khmer": "".join(map(chr, range(0x1780, 0x17A3))),
    "armenian": "աբգդեթժիլխծկձղճմյչպջռվտրքֆԲԳԴԵԶԷԸԹԺԻԽԾԿՀՁՂՃՄՅՆՇՉՊՋՌՎՐՑՔՖ",
    "georgian": "".join(map(chr, range(0x10D0, 0x10F1))),
    "hiragana": "".join(chr(c) for c in range(0x3042, 0x3094) if c % 2 == 0 or c > 0x3084),
    "hangul": (
        "가개거고구기나너노느니다더도두디라러로루리마머모무미바버보부비사서소수시자저조주지차초타토파포하"
        "호"
    ),
    "kanji": (
        "一三山川田日月木水火土金人大小中上下左右本文字学校車門間電話語読書食飲見行来休出入名年時国高安新"
        "古長白赤青花草森林石空雨雲海魚鳥犬馬"
    ),
    "symbols": (
        "∀∁∂∃∇∉∓∔∖√∞∟∠∡∢∥∧∩∫∬∮∴∷∼∽≀≁≃≅≈≋≍≎≏≐≑≒≔≗≜≟≠≡≢≤≥≦≪≬≶≺≼⊂⊄⊆⊊⊎⊏⊑⊓⊔⊕⊖⊗⊘⊙⊚⊛⊝⊞⊟⊠⊡⊢⊣⊧⊨⊩⊪⊰⊲⊴⊸⊻"
        "⊿⋀⋂⋄⋈⋉⋋⋎⋐⋔⋖⋙⋞⋢⋮⋱"
    ),
    "arrows": (
        "←↑→↓↔↕↖↗↝↞↟↠↢↣↦↩↪↫↬↭↮↯↰↱↲↶↷↺↻↼↾⇀⇂⇄⇅⇆⇇⇈⇌⇎⇐⇑⇒⇓⇔⇕⇖⇗⇚⇛⇜⇝⇠⇡⇦⇧⇨⇩"
    ),
}  # fmt: skip
"""Scripts of the pretext. Latin, Greek and digits are absent, and so are letters that look like them in Cyrillic."""


@dataclass(frozen=True)
class Pretext:
    """Masks `[n, 48, 48]` (uint8) grouped by class: class c owns rows first[c] to first[c] + count[c]."""

    masks: torch.Tensor
    first: torch.Tensor
    count: torch.Tensor
    glyph_classes: int

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.first)


def glyph_classes(seed: int) -> list[list[Mask]]:
    """Draw each character of the scripts in up to FACES_PER_GLYPH faces, spread over the families that have it."""
    faces = all_faces()
    classes: list[list[Mask]] = []
    for script, text in SCRIPTS.items():
        for character in dict.fromkeys(text):
            rng = numpy_stream(seed, "pretext", script, character)
            able = faces_with(faces, character)
            chosen: list[Face] = [able[index] for index in rng.permutation(len(able))[:FACES_PER_GLYPH]]
            drawn = []
            for face in chosen:
                try:
                    drawn.append(glyph(face, character))
                except ValueError:
                    continue
            if drawn:
                classes.append(drawn)
    return classes


def figure_classes(seed: int) -> list[list[Mask]]:
    """Draw fixed random closed curves and fixed constellations of dots, several ways each."""
    classes: list[list[Mask]] = []
    for index in range(60):
        rng = numpy_stream(seed, "pretext", "blob", str(index))
        curve = blob(rng)
        classes.append([figure(curve, outline) for outline in (0.0, 0.06, 0.1, 0.16)])
    for index in range(60):
        rng = numpy_stream(seed, "pretext", "polygon", str(index))
        angle = numpy.sort(rng.uniform(0, 2 * numpy.pi, int(rng.integers(5, 10))))
        radius = rng.uniform(0.35, 1.0, len(angle))
        corners = [(float(r * numpy.cos(a)), float(r * numpy.sin(a))) for r, a in zip(radius, angle, strict=True)]
        classes.append([figure(corners, outline) for outline in (0.0, 0.06, 0.1, 0.16)])
    for index in range(80):
        rng = numpy_stream(seed, "pretext", "constellation", str(index))
        centres = scattered(rng, 2 + index % 8, 0.13)
        classes.append([discs(centres, [radius] * len(centres), hollow)
                        for radius in (0.09, 0.11, 0.14) for hollow in (False, True)])  # fmt: skip
    return classes


def build_pretext(seed: int) -> Pretext:
    """Draw all classes of the pretext; takes about a minute."""
    glyphs = glyph_classes(seed)
    groups = glyphs + figure_classes(seed)
    count = torch.tensor([len(group) for group in groups])
    masks = torch.from_numpy(numpy.stack([mask for group in groups for mask in group]))
    return Pretext(masks, torch.cumsum(count, 0) - count, count, len(glyphs))


def draw_batch(pretext: Pretext, size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw `size` masks `[size, 48, 48]`, classes equally likely, and their labels `[size]`."""
    labels = torch.randint(pretext.classes, (size,), generator=generator)
    pick = (torch.rand(size, generator=generator) * pretext.count[labels]).long()
    return pretext.masks[pretext.first[labels] + pick], labels

"""Openly licensed fonts, found in packages that are installed by name (see requirements.txt)."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import ImageFont

FAMILIES: dict[str, str] = {
    "abril-fatface": "display", "alegreya-sans": "sans", "amiri": "serif", "anton": "display", "arvo": "serif",
    "atkinson-hyperlegible": "sans", "baloo-2": "sans", "bitter": "serif", "cabin": "sans", "cairo": "sans",
    "catamaran": "sans", "caveat": "script", "comfortaa": "sans", "cormorant-garamond": "serif",
    "crimson-text": "serif", "dancing-script": "script", "dm-mono": "mono", "eb-garamond": "serif", "exo-2": "sans",
    "fira-code": "mono", "fira-sans": "sans", "frank-ruhl-libre": "serif", "great-vibes": "script", "heebo": "sans",
    "hind": "sans", "ibm-plex-mono": "mono", "ibm-plex-sans": "sans", "ibm-plex-serif": "serif",
    "indie-flower": "script", "inter": "sans", "jetbrains-mono": "mono", "kalam": "script", "kanit": "sans",
    "lobster": "script", "lora": "serif", "merriweather": "serif", "mukta": "sans", "noto-kufi-arabic": "sans",
    "noto-sans": "sans", "noto-sans-arabic": "sans", "noto-sans-devanagari": "sans", "noto-sans-khmer": "sans",
    "noto-sans-tamil": "sans", "noto-sans-telugu": "sans", "noto-sans-thai": "sans", "noto-serif": "serif",
    "orbitron": "display", "pacifico": "script", "permanent-marker": "script", "playfair-display": "serif",
    "poppins": "sans", "prompt": "sans", "pt-serif": "serif", "roboto": "sans", "roboto-mono": "mono",
    "roboto-slab": "serif", "rubik": "sans", "sarabun": "sans", "satisfy": "script", "shadows-into-light": "script",
    "source-code-pro": "mono", "space-mono": "mono", "spectral": "serif", "tajawal": "sans", "vollkorn": "serif",
    "work-sans": "sans", "zilla-slab": "serif",
}  # fmt: skip
"""Families of the `fontpkg-…` packages, with the kind of letter each shows."""

STATIC_STYLES = ("Regular", "Italic", "Bold", "BoldItalic", "ExtraBold", "Black", "Light")


@dataclass(frozen=True)
class Face:
    """One drawable style of one family."""

    family: str
    kind: str
    """One of sans, serif, mono, script, display."""
    file: Path
    weight: int
    """CSS weight, 100 to 900."""
    italic: bool
    variable: bool

    @property
    def label(self) -> str:
        """Name of the face, unique in the build and the same on every machine."""
        return f"{self.file.name}@{self.weight}"

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        """Open the face at `size` pixels per em, with its weight set where the file is variable."""
        font = ImageFont.truetype(str(self.file), size, layout_engine=ImageFont.Layout.BASIC)
        if self.variable:
            font.set_variation_by_axes([self._place_on(axis) for axis in font.get_variation_axes()])
        return font

    def _place_on(self, axis: ImageFont.Axis) -> float:
        """Return the weight of the face on the weight axis, and the default on any other."""
        low, high, default = axis["minimum"] or 0, axis["maximum"] or 0, axis["default"] or 0
        return min(max(self.weight, low), high) if b"eight" in (axis["name"] or b"") else default


@cache
def characters(file: Path) -> frozenset[int]:
    """Return the code points that a font file can draw; only this needs fontTools."""
    from fontTools.ttLib import TTFont

    with TTFont(str(file), lazy=True) as font:
        return frozenset(font.getBestCmap())


def package_folder(package: str) -> Path:
    """Return the folder of an installed package, not importing it; raises RuntimeError that says what to install."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"{package} is not installed; run pip install -r assets/build/requirements.txt")
    return Path(next(iter(spec.submodule_search_locations)))


def family_faces(family: str, kind: str, files: list[Path]) -> Iterator[Face]:
    """Yield the faces of a family: the named static styles, or two weights of a variable file."""
    weights = {"Light": 300, "Bold": 700, "BoldItalic": 700, "ExtraBold": 800, "Black": 900}
    for file in files:
        italic = "Italic" in file.name or "Oblique" in file.name
        if "[" in file.name or "Variable" in file.name:
            for weight in (400, 700) if italic else (400, 600, 900):
                yield Face(family, kind, file, weight, italic, True)
            continue
        style = re.sub(r"^.*-", "", file.stem).replace("Oblique", "Italic") if "-" in file.stem else "Regular"
        if style in STATIC_STYLES:
            yield Face(family, kind, file, weights.get(style, 400), italic, False)


def all_faces() -> tuple[Face, ...]:
    """Return every face of the build in a fixed order."""
    faces: list[Face] = []
    for family, kind in sorted(FAMILIES.items()):
        files = sorted((package_folder("fontpkg_" + family.replace("-", "_")) / "files").glob("*.[to]tf"))
        faces.extend(family_faces(family, kind, files))
    for script in ("he", "jp", "ko"):
        files = sorted(package_folder(f"pylopdf_fonts_{script}").glob("*.[to]tf"))
        faces.extend(family_faces(f"noto-{script}", "sans", files))
    shipped = package_folder("matplotlib") / "mpl-data" / "fonts" / "ttf"
    kinds = {"DejaVuSans": "sans", "DejaVuSerif": "serif", "DejaVuSansMono": "mono"}
    for name, kind in kinds.items():
        files = [file for file in sorted(shipped.glob(f"{name}*.ttf")) if re.fullmatch(name + r"(-.*)?", file.stem)]
        faces.extend(family_faces(f"dejavu-{kind}", kind, files))
    faces.append(Face("stix", "serif", shipped / "STIXGeneral.ttf", 400, False, False))
    faces.append(Face("stix", "serif", shipped / "STIXGeneralBol.ttf", 700, False, False))
    return tuple(faces)


def faces_with(faces: tuple[Face, ...], text: str) -> tuple[Face, ...]:
    """Return the faces that can draw every character of `text`."""
    return tuple(face for face in faces if characters(face.file).issuperset(map(ord, text)))

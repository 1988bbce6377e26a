"""Finds installed fonts that have the characters of a text, in any script."""

import unicodedata
import warnings
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from PIL import ImageFont, features

from mindvit.printable import first_names

_PREFERRED = (
    "notosanscjk", "sourcehansans", "notosanssc", "wqy", "wenquanyi", "droidsansfallback", "msyh", "simhei", "pingfang",
    "notosans", "noto", "unifont", "freesans",
)  # fmt: skip
"""Parts of file names, best first. A sans-serif font of regular weight is legible at every size."""
_OTHER_STYLES = ("bold", "black", "heavy", "light", "thin", "italic", "oblique", "condensed", "mono", "serif")
_LETTERS_OF_FACES = {"HIRAGANA": "JP", "KATAKANA": "JP", "HANGUL": "KR"}
"""The face of a CJK collection, by the script of a character. Chinese characters have the forms of mainland China
otherwise."""
_IGNORABLE = frozenset({0x200C, 0x200D, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)})
"""Joiners and variation selectors, which are invisible. Few fonts have them."""
# fmt: off
_SHAPED = frozenset({
    "ARABIC", "BENGALI", "DEVANAGARI", "GUJARATI", "GURMUKHI", "HEBREW", "KANNADA", "KHMER", "MALAYALAM",
    "MONGOLIAN", "MYANMAR", "NKO", "ORIYA", "SINHALA", "SYRIAC", "TAMIL", "TELUGU", "THAANA", "TIBETAN",
})
# fmt: on
"""Scripts whose letters change with their neighbours, or that run from right to left."""
_CJK = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH", "KANGXI", "IDEOGRAPHIC"})


@dataclass(frozen=True)
class Face:
    """A font: a file, and the number of the face in it (a .ttc file has several)."""

    path: str
    index: int = 0


def find_font(text: str, size: int) -> ImageFont.FreeTypeFont | None:
    """A font for Pillow that has all characters of a text.

    DejaVu Sans comes first, which matplotlib brings: Latin, Greek, Cyrillic, Arabic and Hebrew are drawn alike on every
    machine. Then follow the installed fonts that ``matplotlib.font_manager`` finds, Noto CJK before others. The list of
    fonts is read once in a process, from the system and not from matplotlib's cache, which may be older than a font.

    Args:
        text: the text; an empty one gets DejaVu Sans.
        size: pixels per em.

    Returns:
        None if no installed font has them all. A text of several scripts may still be drawn: see ``split_by_font``.
    """
    face = _face_of_all(text)
    return None if face is None else load_face(face, size)


def font_family(texts: str | Iterable[str]) -> list[str]:
    """Font families for matplotlib, in which it finds the characters of all texts.

    Args:
        texts: what is drawn, such as class names.

    Returns:
        A value of the property ``family`` of a text, or of ``rcParams["font.family"]``: DejaVu Sans, and what else the
        texts need. Characters that no installed font has are drawn as boxes: replace them with ``drawable`` before.
    """
    families = ["DejaVu Sans"]
    for text in [texts] if isinstance(texts, str) else texts:
        for cluster in clusters(text):
            face = _face_of_cluster(cluster)
            if face is not None and face != _dejavu():
                name = _matplotlib_family(face)
                families += [name] if name not in families else []
    return families


def drawable(text: str) -> str | None:
    """A text as it can be drawn with the installed fonts.

    Symbols that no font has, such as most emoji, are omitted if anything else remains of the text.

    Returns:
        None if no font has a letter of the text, or if nothing remains. Draw something else then, such as the class id,
        and call ``note_missing_fonts`` once with all texts.
    """
    parts = [(cluster, _face_of_cluster(cluster)) for cluster in clusters(text)]
    if any(face is None and not _is_symbol(cluster) for cluster, face in parts):
        return None
    return " ".join("".join(cluster for cluster, face in parts if face is not None).split()) or None


def split_by_font(text: str) -> list[tuple[str, Face]]:
    """Splits a text into parts that one font each has; a single part if one font has all. Missing ones are DejaVu's."""
    whole = _face_of_all(text)
    if whole is not None:
        return [(text, whole)]
    runs: list[tuple[str, Face]] = []
    for cluster in clusters(text):
        last = runs[-1][1] if runs else None
        face = last if last is not None and _covers(last, cluster) else _face_of_cluster(cluster) or _dejavu()
        if runs and face == last:
            runs[-1] = (runs[-1][0] + cluster, face)
        else:
            runs.append((cluster, face))
    return runs


def note_missing_fonts(texts: Iterable[str]) -> None:
    """Warns about texts that ``drawable`` refuses, with the packages that bring a font, in one sentence.

    It also says if letters are drawn unjoined, because Pillow lacks the library for right-to-left and joined scripts.
    """
    texts = list(dict.fromkeys(texts))
    missing = [text for text in texts if drawable(text) is None]
    if missing:
        scripts = {_script(char) for text in missing for char in _missing(text)}
        others = sorted(script.lower() for script in scripts - _CJK if script)
        debian = ["fonts-noto-cjk"] * bool(scripts & _CJK) + ["fonts-noto-core"] * bool(others)
        fedora = ["google-noto-sans-cjk-fonts"] * bool(scripts & _CJK)
        fedora += [f"google-noto-sans-{script}-fonts" for script in others]
        warnings.warn(
            f"no installed font has the characters of {first_names(missing)}, so the class id is drawn. Install a "
            f"font: apt-get install {' '.join(debian or ['fonts-noto'])} (Debian, Ubuntu) or dnf install "
            f"{' '.join(fedora or ['google-noto-sans-fonts'])} (Fedora, openEuler)",
            stacklevel=2,
        )
    shaped = [text for text in texts if text not in missing and any(_script(char) in _SHAPED for char in text)]
    if shaped and not features.check("raqm"):
        warnings.warn(
            f"Pillow finds no FriBidi library, so letters may be unjoined and in the wrong order in "
            f"{first_names(shaped)}. Install libfribidi0 (Debian, Ubuntu) or fribidi (Fedora, openEuler)",
            stacklevel=2,
        )


@lru_cache(maxsize=64)
def load_face(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """Opens a font for Pillow at a size, in pixels per em."""
    return ImageFont.truetype(face.path, size, index=face.index)


def clusters(text: str) -> Iterator[str]:
    """Splits a text, composed (NFC), into characters with the marks and joined emoji that belong to them."""
    cluster = ""
    for char in unicodedata.normalize("NFC", text):
        joined = ord(char) in _IGNORABLE or unicodedata.category(char).startswith("M") or cluster.endswith("\u200d")
        if cluster and not joined:
            yield cluster
            cluster = ""
        cluster += char
    if cluster:
        yield cluster


@lru_cache(maxsize=4096)
def _face_of_cluster(cluster: str) -> Face | None:
    face = next((face for face in _faces() if _covers(face, cluster)), None)
    return None if face is None else _face_of_collection(face.path, _region(cluster))


@lru_cache(maxsize=4096)
def _face_of_all(text: str) -> Face | None:
    # A face that has everything is that of the rarest characters, or one that has more; no font more has to be read.
    text = unicodedata.normalize("NFC", text)
    found = dict.fromkeys([_dejavu(), *(face for face in map(_face_of_cluster, clusters(text)) if face is not None)])
    face = next((face for face in found if _covers(face, text)), None)
    return None if face is None else _face_of_collection(face.path, _region(text))


def _missing(text: str) -> str:
    return "".join(cluster for cluster in clusters(text) if _face_of_cluster(cluster) is None)


def _faces() -> Iterator[Face]:
    yield _dejavu()
    yield from _installed()


@cache
def _dejavu() -> Face:
    import matplotlib

    return Face(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"))


@cache
def _installed() -> list[Face]:
    from matplotlib.font_manager import findSystemFonts  # On first use it makes a list of fonts, which takes seconds.

    return [Face(path) for path in sorted(findSystemFonts(), key=_preference)]


def _preference(path: str) -> tuple[int, int, str]:
    name = Path(path).stem.lower().replace("-", "").replace("_", "").replace(" ", "")
    rank = next((rank for rank, part in enumerate(_PREFERRED) if part in name), len(_PREFERRED))
    return rank, sum(style in name for style in _OTHER_STYLES), path


def _covers(face: Face, text: str) -> bool:
    codes = _charmap(face.path)
    return all(_has(codes, ord(char)) for char in text if ord(char) not in _IGNORABLE and not char.isspace())


def _has(codes: array, code: int) -> bool:
    place = bisect_left(codes, code)
    return place < len(codes) and codes[place] == code


@cache
def _charmap(path: str) -> array:
    """The code points that a font has, sorted. The faces of a collection have the same."""
    from matplotlib.ft2font import FT2Font

    try:
        return array("I", sorted(FT2Font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):  # A broken file, or one that has only bitmaps of one size.
        return array("I")


@cache
def _face_of_collection(path: str, region: str) -> Face:
    if not path.lower().endswith((".ttc", ".otc")):
        return Face(path)
    names = []
    for index in range(64):
        try:
            names.append(ImageFont.truetype(path, 10, index=index).getname()[0] or "")
        except OSError:  # Beyond the last face.
            break
    return Face(path, next((index for index, name in enumerate(names) if name.endswith(f" {region}")), 0))


def _region(text: str) -> str:
    return next((_LETTERS_OF_FACES[script] for script in map(_script, text) if script in _LETTERS_OF_FACES), "SC")


def _matplotlib_family(face: Face) -> str:
    from matplotlib.font_manager import fontManager

    for attempt in range(2):
        names = [entry.name for entry in fontManager.ttflist if entry.fname == face.path]
        if names or attempt:
            break
        fontManager.addfont(face.path)  # Its cache is older than the font.
    regional = [name for name in names if name.endswith(" SC")]
    return (regional or names)[0]


def _is_symbol(cluster: str) -> bool:
    return unicodedata.category(cluster[0]) in ("So", "Sk", "Cn", "Co") or ord(cluster[0]) in _IGNORABLE


def _script(char: str) -> str:
    return unicodedata.name(char, "").partition(" ")[0]

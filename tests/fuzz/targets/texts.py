"""Class names, which are shown on the screen, in images and in reports."""

import json
import unicodedata
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from mindvit.classes import Classes
from mindvit.printable import printable
from mindvit.strict_json import dump_json, parse_json
from mindvit.visualize.annotate import annotate
from mindvit.visualize.fonts import drawable
from tests.fuzz.target import TextTarget

_ODD = "\x1b[2J\x07\r\n\t\b\0\x7f\x9b\u202e\u2066\u200b\u200d\ufeff\u2028\ud800\udcff狗🐕e\u0301"
_LIMIT = 40

drawable("狗")  # Lists the installed fonts, for which matplotlib starts a program, before targets may start none.


@dataclass
class _Ranked:
    name: str
    label: int = 0
    id: str = "n1"
    probability: float = 0.5


def _check(folder):
    name = (folder / "name.txt").read_bytes().decode("utf-8", "surrogatepass")
    for shown in (printable(name), printable(name, _LIMIT)):
        assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cs", "Zl", "Zp"}
        assert not set(shown) & set("\u202e\u2066\u200b\ufeff")
        assert printable(shown) == shown
        shown.encode()
    assert len(printable(name, _LIMIT)) <= _LIMIT
    assert printable(name) == name or not name.isprintable()
    text = dump_json({name: name})
    assert text.isprintable()
    assert json.loads(text) == parse_json(text.encode()) == {name: name}
    assert len(Classes.named((name, f"{name}x"))) == 2
    annotate(np.zeros((8, 8, 3), np.uint8), [_Ranked(name)])


NAMES = TextTarget(
    "names",
    _check,
    "name.txt",
    st.text(st.one_of(st.sampled_from(_ODD), st.characters(exclude_categories=()))),
    "Katze",
    examples=100,
    blocks=2,
)

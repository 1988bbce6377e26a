"""Every case of which it is known how it must end: all that the harness has found, and all that was reported.

The tables give for each case by its name the sentence that refuses it and what writes it: code says what is wrong with
a file, which its bytes do not, and the largest cases are two million bytes.
"""

from tests.fuzz.corpus import archives, checkpoints, images, settings, texts, weights
from tests.fuzz.corpus.case import Case

CASES = [
    Case(target, name, expected, write)
    for module in (images, weights, checkpoints, archives, settings, texts)
    for target, table in module.TABLES.items()
    for name, (expected, write) in table.items()
]

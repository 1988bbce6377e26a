import pytest

from mindvit.errors import UserError
from mindvit.evaluation.evaluator import EvalSettings
from mindvit.parsing import parse
from mindvit.training.recipe import Recipe


def test_classes_are_read_as_strings():
    data = parse(Recipe, "", ["--data.classes", '["0", "7"]', "--data.samples_per_class", "3"])[0].data
    assert (data.classes, data.samples_per_class) == (("0", "7"), 3)
    assert parse(EvalSettings, "", ["--ckpt", "x", "--data.classes", "[cat, dog]"])[0].data.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (Recipe, ["--data.classes", "[0, 1]"], r'^data.classes must be a list of texts such as \["0", "1"\] or null'),
        (Recipe, ["--data.classes", "cat"], r"^data.classes needs at least two classes, not \['cat'\]$"),
        (Recipe, ["--data.classes", "[cat]"], r"^data.classes needs at least two classes, not \['cat'\]$"),
        (Recipe, ["--data.classes", "[cat, dog, cat]"], "^data.classes lists cat more than once$"),
        (Recipe, ["--data.samples_per_class", "0"], "^data.samples_per_class must be at least 1, not 0$"),
        (EvalSettings, ["--ckpt", "x", "--data.classes", "[cat]"], "^data.classes needs at least two classes"),
    ],
)
def test_invalid_choices_are_refused(kind, arguments, words):
    with pytest.raises(UserError, match=words):
        parse(kind, "", arguments)

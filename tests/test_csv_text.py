import csv
import io

from mindvit.csv_text import csv_text


def test_texts_of_any_kind_come_back_as_they_are_shown():
    rows = [['a,"b"', 1, None], ["猫", 0.5, "c d"], ["a\nb", "\udcff", "\x1b[2J"]]
    found = list(csv.reader(io.StringIO(csv_text(["x", "y", "z"], rows))))
    assert found == [["x", "y", "z"], ['a,"b"', "1", ""], ["猫", "0.5", "c d"], ["a\\nb", "\\udcff", "\\x1b[2J"]]


def test_no_text_is_a_formula_and_numbers_stay_numbers():
    text = csv_text(["=h"], [["=1+1"], ["+1"], ["-1"], ["@a"], ["\tb"], [-1], [-0.5]])
    assert text.splitlines() == ["'=h", "'=1+1", "'+1", "'-1", "'@a", "'\\tb", "-1", "-0.5"]

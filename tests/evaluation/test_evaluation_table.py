import numpy as np

from mindvit.evaluation.evaluation_table import evaluation_table
from mindvit.text_columns import text_columns
from tests.evaluation.builders import collect, random_case, record_of, split_of


def test_the_table_gives_accuracy_first_then_classes_confusions_and_mistakes(rng):
    record = record_of(*random_case(rng))
    table = evaluation_table(record)
    lines = table.splitlines()
    assert lines[3:5] == [f"Top-1    {record.top1:.2f} %", f"Top-5    {record.top5:.2f} %"]
    assert f"ECE      {100 * record.calibration.ece:.2f} %" in table
    item = record.per_class[3]
    assert f"class3 {item.precision:28.4f}{item.recall:10.4f}{item.f1:10.4f}{item.support:10}" in table
    pair = record.confusions[0]
    row = next(line for line in lines if line.startswith("  class"))
    assert row.split()[:4] == [pair.true, "as", pair.predicted, str(pair.num_images)]
    first = record.mistakes[0]
    assert f"{first.true} -> {first.predicted} {100 * first.probability:.1f} %" in table
    assert "/data/val/" not in table.split("mistakes of")[1], "file names are relative to the data"
    assert max(map(text_columns, lines)) <= 100


def test_with_many_classes_the_worst_are_shown(rng):
    record = record_of(*random_case(rng, num_images=2000, num_classes=30))
    section = evaluation_table(record).split("\n\n")[1].splitlines()
    assert section[0].startswith("worst 10 of 30")
    shown = [float(line.split()[3]) for line in section[1:11]]
    assert shown == sorted(shown) == [round(f1, 4) for f1 in sorted(item.f1 for item in record.per_class)[:10]]
    assert "the 10 largest of" in evaluation_table(record)


def test_top5_is_left_out_where_it_cannot_be_less_than_all(rng):
    assert "Top-5" not in evaluation_table(record_of(*random_case(rng, num_classes=5)))
    assert "Top-5" in evaluation_table(record_of(*random_case(rng, num_classes=6)))


def test_without_mistakes_there_are_no_sections_for_them():
    table = evaluation_table(record_of(collect(np.eye(3), [0, 1, 2]), split_of([0, 1, 2], ("a", "b", "c"))))
    assert "confusions" not in table and "mistakes" not in table


def test_names_cannot_control_the_terminal_and_keep_the_columns():
    names = ("猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫", "\x1b[2J", "x" * 200)
    split = split_of([0, 1, 2], names, ["/data/val/\x1b[31m", "/data/val/b", "/data/val/" + "c" * 300])
    table = evaluation_table(record_of(collect(np.eye(3)[[1, 2, 0]], [0, 1, 2]), split))
    assert "\x1b" not in table and "\\x1b[2J" in table
    assert len({text_columns(line) for line in table.split("\n\n")[1].splitlines()}) == 1

import csv
import json

import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.evaluation.evaluation_file import prepare_output, read_evaluation, write_evaluation
from tests.evaluation.builders import collect, random_case, record_of, split_of


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def written(rng, tmp_path):
    """The files of an evaluation, its record and its predictions."""
    predictions, split = random_case(rng)
    record = record_of(predictions, split)
    prepare_output(tmp_path / "out")
    write_evaluation(tmp_path / "out", record, predictions, split)
    return tmp_path / "out", record, predictions


def test_a_folder_gets_the_json_and_the_tables(written):
    folder, record, predictions = written
    assert {path.name for path in folder.iterdir()} == {
        *("evaluation.json", "per_class.csv", "confusion_matrix.csv", "predictions.csv", "mistakes.csv")
    }
    header, *matrix = rows_of(folder / "confusion_matrix.csv")
    assert header[1:] == [item.id for item in record.per_class] == [row[0] for row in matrix]
    assert [list(map(int, row[1:])) for row in matrix] == [list(row) for row in record.confusion_matrix]
    header, *classes = rows_of(folder / "per_class.csv")
    assert [float(row[header.index("recall")]) for row in classes] == [item.recall for item in record.per_class]
    header, *images = rows_of(folder / "predictions.csv")
    assert len(images) == len(predictions) == 200
    correct = [int(row[header.index("correct")]) for row in images]
    assert 100 * np.mean(correct) == record.top1
    assert images[7][0] == "/data/val/007.png"
    mistakes = rows_of(folder / "mistakes.csv")[1:]
    assert len(mistakes) == record.num_mistakes == correct.count(0)
    assert [row[0] for row in mistakes[:9]] == [item.file for item in record.mistakes[:9]]
    probabilities = [float(row[4]) for row in mistakes]
    assert probabilities == sorted(probabilities, reverse=True)


def test_the_json_is_read_as_it_was_written(written):
    folder, record, _ = written
    assert read_evaluation(folder / "evaluation.json") == record
    text = (folder / "evaluation.json").read_text()
    assert "NaN" not in text and "on_training_images" not in text


def test_a_json_file_is_written_alone(rng, tmp_path):
    predictions, split = random_case(rng)
    record = record_of(predictions, split, skipped_images=(), on_training_images=True)
    path = tmp_path / "new/x.JSON"
    prepare_output(path)
    write_evaluation(path, record, predictions, split)
    assert [item.name for item in path.parent.iterdir()] == ["x.JSON"]
    assert read_evaluation(path) == record
    assert json.loads(path.read_text())["skipped_images"] == []


def test_with_many_classes_the_json_lists_confusions_in_place_of_the_matrix(rng, tmp_path):
    predictions, split = random_case(rng, num_classes=101)
    record = record_of(predictions, split)
    assert record.confusion_matrix is None
    assert sum(pair.num_images for pair in record.confusions) == record.num_mistakes
    prepare_output(tmp_path / "out")
    write_evaluation(tmp_path / "out", record, predictions, split)
    assert len(rows_of(tmp_path / "out/confusion_matrix.csv")) == 102


def test_names_of_any_kind_are_written(tmp_path):
    names = ('a,"b"\n', "猫", "\udcff", "=1+1")
    files = ["/data/val/\udcfe.png", "/data/val/a\nb.png"]
    predictions = collect([[0.0, 1, 0, 0], [0, 0, 0, 1.0]], [0, 2])
    split = split_of([0, 2], names, files)
    prepare_output(tmp_path / "out")
    write_evaluation(tmp_path / "out", record_of(predictions, split), predictions, split)
    assert rows_of(tmp_path / "out/confusion_matrix.csv")[0][1:] == ['a,"b"\\n', "猫", "\\udcff", "'=1+1"]
    assert rows_of(tmp_path / "out/mistakes.csv")[1][:3] == ["/data/val/\\udcfe.png", 'a,"b"\\n', "猫"]
    assert read_evaluation(tmp_path / "out/evaluation.json").per_class[2].id == "\udcff"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("[]", "must be a JSON object"),
        ("{", "is not an evaluation"),
        ('{"top1": 1}', "top5 is missing"),
        ("per_class", r"per_class must be a list, not 7"),
    ],
)
def test_what_is_no_evaluation_is_refused(written, change, words):
    path = written[0] / "evaluation.json"
    content = {**json.loads(path.read_text()), change: 7} if change == "per_class" else None
    path.write_text(json.dumps(content) if content else change)
    with pytest.raises(UserError, match=words):
        read_evaluation(path)


def test_a_mistake_in_the_output_is_reported_before_the_evaluation(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="taken"):
        prepare_output(tmp_path / "taken")

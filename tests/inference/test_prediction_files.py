import csv
import io
import json

import pytest

from mindvit.inference.batched_pass import Classified
from mindvit.inference.image_inputs import Unreadable
from mindvit.inference.prediction_files import table_lines, write_predictions
from mindvit.inference.predictor import Prediction

RESULTS = [
    Classified("a/猫, 1.png", [Prediction(1, "n1", "猫", 0.75), Prediction(0, "n0", "dog", 0.25)]),
    Classified("=b.png", [Prediction(2, "n2", '=HYPERLINK("http://x")', 1.0)]),
]
UNREADABLE = [Unreadable("c.png", "c.png is corrupt")]


def test_csv_has_a_row_for_each_rank(tmp_path):
    write_predictions(tmp_path / "p.csv", RESULTS[:1], UNREADABLE)
    text = (tmp_path / "p.csv").read_text(encoding="utf-8")
    assert text == 'file,rank,class,probability\n"a/猫, 1.png",1,猫,0.75\n"a/猫, 1.png",2,dog,0.25\n'


def test_a_spreadsheet_takes_nothing_for_a_formula(tmp_path):
    results = [*RESULTS, *(Classified(f"{char}x.png", [Prediction(0, "0", f"{char}x", 1.0)]) for char in "=+-@\t\r\n")]
    write_predictions(tmp_path / "p.csv", results, [])
    rows = list(csv.reader(io.StringIO((tmp_path / "p.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 11
    assert all(cell[0] not in "=+-@\t\r" for row in rows for cell in row)
    assert rows[3][0] == "./=b.png", "the same file"


def test_frames_have_their_number_and_time(tmp_path):
    frame = Classified("v.mp4", [Prediction(0, "0", "cat", 0.5)], frame=30, time=1.2)
    write_predictions(tmp_path / "p.csv", [*RESULTS[:1], frame], [])
    lines = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "file,rank,class,probability,frame,time"
    assert lines[1].endswith(",0.75,,")
    assert lines[-1] == "v.mp4,1,cat,0.5,30,1.2"
    write_predictions(tmp_path / "p.jsonl", [frame], [])
    assert json.loads((tmp_path / "p.jsonl").read_text())["frame"] == 30


def test_json_has_the_unreadable_files_too(tmp_path):
    write_predictions(tmp_path / "p.json", RESULTS, UNREADABLE)
    content = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))
    assert content["unreadable"] == [{"image": "c.png", "reason": "c.png is corrupt"}]
    assert content["images"][0] == {
        "image": "a/猫, 1.png",
        "predictions": [
            {"label": 1, "id": "n1", "name": "猫", "probability": 0.75},
            {"label": 0, "id": "n0", "name": "dog", "probability": 0.25},
        ],
    }
    write_predictions(tmp_path / "p.jsonl", RESULTS, UNREADABLE)
    lines = (tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == content["images"] + content["unreadable"]


@pytest.mark.parametrize("extension", [".json", ".jsonl", ".csv"])
def test_any_file_name_can_be_written(tmp_path, extension):
    strange = [Classified("caf\udce9\n\x1b[2J.png", [Prediction(0, "0", "a\nb", 1.0)])]
    write_predictions(tmp_path / f"p{extension}", strange, [])
    text = (tmp_path / f"p{extension}").read_text(encoding="utf-8")
    assert "\x1b" not in text
    if extension != ".csv":
        read = json.loads(text)
        assert (read["images"][0] if extension == ".json" else read)["image"] == strange[0].file


def test_the_columns_of_the_table_are_aligned_in_any_script():
    lines = list(table_lines([RESULTS[0], Classified("dog.png", [Prediction(0, "0", "dog", 1.0)])]))
    assert lines == [
        "file         class  probability",
        "a/猫, 1.png  猫         75.00 %",
        "dog.png      dog       100.00 %",
    ]


def test_the_table_fits_the_terminal():
    results = [Classified("x" * 200 + "/end.png", [Prediction(0, "0", "y" * 200, 1.0)])]
    lines = list(table_lines(results, width=60))
    assert all(len(line) <= 60 for line in lines)
    assert "/end.png" in lines[1], "the end of a path is kept"


def test_a_name_cannot_control_the_terminal():
    results = [Classified("\x1b[2J.png", [Prediction(0, "0", "\u202ecat\n", 1.0)])]
    assert all(line.isprintable() for line in table_lines(results))

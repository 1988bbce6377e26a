import io
import json
import shutil

import pytest
from PIL import Image
from tqdm import tqdm

from mindvit.data.check.check_data import CheckDataSettings, CheckedData, check_data
from mindvit.data.check.image_scan import scan_images
from mindvit.data.sources import open_source
from mindvit.errors import UserError
from tests.evaluation.test_eval_data import write_cifar


@pytest.fixture
def check(tmp_path, capsys):
    """Checks a folder. Returns the JSON, and what is on the screen."""

    def run(path, decode=True, **data):
        output = tmp_path / "out/check.json"
        settings = CheckedData(path=str(path), num_workers=1, **data)
        check_data(CheckDataSettings(settings, decode=decode, output=str(output)))
        return json.loads(output.read_text()), capsys.readouterr().out

    return run


def write_image(path, value, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10 + value, 20), (value, 0, 0)).save(path, **options)


@pytest.fixture
def pets(tmp_path):
    """60, 20 and 5 different images without splits."""
    root, value = tmp_path / "pets", 0
    for name, count in (("cat", 60), ("dog", 20), ("owl", 5)):
        for index in range(count):
            write_image(root / name / f"{index}.png", value := value + 1)
    return root


def test_a_sound_folder_without_splits_is_counted_and_gets_advice(check, pets):
    found, shown = check(pets)
    assert found["classes"] == ["cat", "dog", "owl"]
    assert found["splits"] == {
        "train": {
            "num_images": 85,
            "images_per_class": {"cat": 60, "dog": 20, "owl": 5},
            "imbalance_ratio": 12.0,
            "classes_without_images": [],
        }
    }
    assert found["image_sizes"] == {
        "width": {"min": 11, "median": 53, "max": 95},
        "height": {"min": 20, "median": 20, "max": 20},
    }
    assert found["corrupt_images"] == found["duplicates"] == []
    assert found["can_train"]
    advice = " ".join(found["advice"])
    for words in (
        "--data.val_fraction 0.2",
        "--loss.class_weights balanced",
        "1 class has fewer",
        "--model.image_size",
    ):
        assert words in advice
    assert "12.0 : 1; images per class: cat 60, dog 20, owl 5" in shown
    assert [line.split() for line in shown.splitlines()[:5]] == [
        ["class", "train"],
        ["cat", "60"],
        ["dog", "20"],
        ["owl", "5"],
        ["all", "85"],
    ]


def test_held_out_images_are_a_split(check, pets):
    found, _ = check(pets, val_fraction=0.2)
    assert [split["num_images"] for split in found["splits"].values()] == [68, 17]
    assert "val_fraction" not in " ".join(found["advice"])
    assert "duplicates" not in check(pets, decode=False)[0]


def test_corrupt_images_are_found_in_every_split(check, make_folder):
    root = make_folder()
    (root / "train/cat/bad.png").write_text("no image")
    content = (root / "val/dog/0.png").read_bytes()
    (root / "val/dog/0.png").write_bytes(content[:60])
    found, shown = check(root)
    assert [(image["split"], image["label"]) for image in found["corrupt_images"]] == [("train", "cat"), ("val", "dog")]
    assert found["corrupt_images"][0]["file"] == str(root / "train/cat/bad.png")
    assert "bad.png is not an image" in found["corrupt_images"][0]["error"]
    assert "2 images: train/cat/bad.png, val/dog/0.png" in shown
    assert "--data.on_corrupt skip" in shown


def test_equal_images_are_told_apart_by_what_is_wrong_with_them(check, tmp_path):
    root, value = tmp_path / "data", 0
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            for index in range(2):
                write_image(root / split / name / f"{index}.png", value := value + 1)
    shutil.copy(root / "train/cat/0.png", root / "train/cat/copy.png")
    shutil.copy(root / "train/cat/1.png", root / "train/dog/cat.png")
    Image.open(root / "train/dog/0.png").save(root / "val/dog/again.bmp")
    found, shown = check(root)
    groups = {group["images"][0]["file"]: group for group in found["duplicates"]}
    facts = {
        file.removeprefix(f"{root}/"): (group["same_file"], group["is_leak"], group["has_several_labels"])
        for file, group in groups.items()
    }
    assert facts == {
        "train/cat/0.png": (True, False, False),
        "train/cat/1.png": (True, False, True),
        "train/dog/0.png": (False, True, False),
    }
    assert "1 image in more than one split: train/dog/0.png = val/dog/again.bmp" in shown
    assert "1 image in more than one class: train/cat/1.png = train/dog/cat.png" in shown
    assert "give each image one class" in shown and "more than one split: the accuracy" in shown


def test_classes_without_validation_images_are_named(check, make_folder):
    root = make_folder(classes=("cat", "cow", "dog"))
    shutil.rmtree(root / "val/dog")
    found, shown = check(root)
    assert found["splits"]["val"]["classes_without_images"] == ["dog"]
    assert "val has no images of 1 class: dog" in shown
    assert "add validation images of the missing classes" in shown


def test_many_classes_are_shortened_on_the_screen(check, make_folder):
    found, shown = check(make_folder(splits=("",), classes=[f"c{index:02}" for index in range(25)], counts=1))
    assert len(found["classes"]) == 25
    assert "… 5 more classes" in shown
    assert sum(line.startswith("c") and line[1:3].isdigit() for line in shown.splitlines()) == 20


def test_data_that_cannot_be_trained_on_are_an_error_after_the_report(check, tmp_path, make_folder):
    for name in ("cat", "dog"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "a.png").write_text("x")
    with pytest.raises(
        UserError, match=r"no training image of .*broken can be decoded; the first error is: .*cat/a.png"
    ):
        check(tmp_path / "broken")
    assert json.loads((tmp_path / "out/check.json").read_text())["can_train"] is False
    with pytest.raises(UserError, match="the data have no train split"):
        check(make_folder(splits=("val",)))
    with pytest.raises(UserError, match="nowhere does not exist"):
        check("nowhere")


def test_images_that_are_no_files_of_their_own_are_compared_by_their_pixels(check, tmp_path):
    found, _ = check(write_cifar(tmp_path / "cifar-10-batches-bin"), source="cifar10")
    assert [split["num_images"] for split in found["splits"].values()] == [10, 2]
    (group,) = found["duplicates"]
    assert (group["same_file"], group["is_leak"], len(group["images"])) == (False, True, 12)


def test_the_result_does_not_depend_on_the_number_of_threads(pets):
    split = open_source("folder", str(pets)).train
    one, four = (scan_images(split, workers, tqdm(total=85, file=io.StringIO())) for workers in (1, 4))
    assert one == four
    assert len({image.pixels for image in one}) == len({image.content for image in one}) == 85


def test_the_command_ends_with_a_sentence(fails_with, run_program, pets, monkeypatch):
    code, out, _ = run_program("mindvit/__main__.py", "check-data", "--data.path", pets, "--decode", "false")
    assert code == 0 and "balance    12.0 : 1" in out
    fails_with(
        ["data.val_fraction must lie between 0 and 1"], "mindvit/__main__.py", "check-data", "--data.val_fraction", "2"
    )

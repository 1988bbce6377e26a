import pytest

from mindvit.data.folder import open_folder
from mindvit.data.mindrecord import listing
from mindvit.data.mindrecord.listing import list_source
from mindvit.errors import UserError
from tests.data.mindrecord.conftest import write_images


def counts(plan, split="train"):
    return [shard.count for shard in plan.splits[split]]


@pytest.mark.parametrize(
    ("shards", "expected"), [(1, [11]), (2, [5, 6]), (3, [3, 4, 4]), (4, [2, 3, 3, 3]), (11, [1] * 11)]
)
def test_shards_differ_by_at_most_one_image(images, shards, expected):
    plan = list_source(open_folder(images)).plan(shards)
    assert counts(plan) == counts(plan, "val") == expected


def test_shards_have_consecutive_images_of_the_source(images):
    source = open_folder(images)
    listed = list_source(source)
    files, labels = [], []
    for _, index, part in listed.shard_files(listed.plan(3)):
        assert len(part) == [3, 4, 4][index]
        files += [str(part.root / file) for file in part.files]
        labels += part.labels.tolist()
        assert [(part.root / file).stat().st_size for file in part.files] == part.sizes.tolist()
    expected = [split.describe(index) for split in (source.train, source.val) for index in range(11)]
    assert files == expected
    assert labels == source.train.labels.tolist() * 2


def test_more_shards_than_images_are_refused(images):
    with pytest.raises(UserError, match=r"^--shards 12 is more than the 11 images of .*train$"):
        list_source(open_folder(images)).plan(12)


def test_default_shards_have_about_1_gib(images, monkeypatch):
    listed = list_source(open_folder(images))
    assert counts(listed.plan(None)) == [11]
    sizes = listed.splits["train"].sizes
    sizes[:] = 400 * 2**20
    assert counts(listed.plan(None)) == [2, 2, 2, 2, 3], "4,400 MiB"
    sizes[:] = 2**40
    assert counts(listed.plan(None)) == [1] * 11
    monkeypatch.setattr(listing, "MAX_SHARDS", 3)
    assert counts(listed.plan(None)) == [3, 4, 4]


def test_the_fingerprint_differs_for_other_names_labels_or_sizes(tmp_path):
    root = write_images(tmp_path / "in")
    fingerprints = [list_source(open_folder(root)).plan(1).fingerprint]
    assert list_source(open_folder(root)).plan(2).fingerprint == fingerprints[0]
    (root / "val/emu/1.jpg").rename(root / "val/emu/2.jpg")
    fingerprints.append(list_source(open_folder(root)).plan(1).fingerprint)
    with open(root / "val/emu/2.jpg", "ab") as file:
        file.write(b"\0")
    fingerprints.append(list_source(open_folder(root)).plan(1).fingerprint)
    for split in ("train", "val"):
        (root / split / "ant").mkdir()
        (root / split / "cat/0.png").rename(root / split / "ant/0.png")
    fingerprints.append(list_source(open_folder(root)).plan(1).fingerprint)
    assert len(set(fingerprints)) == 4


def test_an_empty_file_is_reported(tmp_path):
    root = write_images(tmp_path / "in")
    (root / "val/dog/1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"^the image .*val/dog/1\.jpg is empty; repair or remove it$"):
        list_source(open_folder(root))


def test_a_file_that_cannot_be_read_is_reported(tmp_path):
    root = write_images(tmp_path / "in")
    (root / "val/dog/gone.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"^cannot read the image .*val/dog/gone\.jpg: No such file"):
        list_source(open_folder(root))

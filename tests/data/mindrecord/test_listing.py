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


def test_shards_hold_consecutive_parts_of_the_sources_order(images):
    source = open_folder(images)
    found = list_source(source)
    files, labels = [], []
    for _, number, part in found.parts(found.plan(3)):
        assert len(part) == [3, 4, 4][number]
        files += [str(part.root / file) for file in part.files]
        labels += part.labels.tolist()
        assert [(part.root / file).stat().st_size for file in part.files] == part.sizes.tolist()
    both = [split.describe(index) for split in (source.train, source.val) for index in range(11)]
    assert files == both
    assert labels == source.train.labels.tolist() * 2


def test_more_shards_than_images_are_refused(images):
    with pytest.raises(UserError, match=r"^--shards 12 is more than the 11 images of .*train$"):
        list_source(open_folder(images)).plan(12)


def test_by_default_shards_have_about_a_gib(images, monkeypatch):
    found = list_source(open_folder(images))
    assert counts(found.plan(None)) == [11]
    sizes = found.splits["train"].sizes
    sizes[:] = 400 * 2**20
    assert counts(found.plan(None)) == [2, 2, 2, 2, 3], "4,400 MiB"
    sizes[:] = 2**40
    assert counts(found.plan(None)) == [1] * 11
    monkeypatch.setattr(listing, "MOST_SHARDS", 3)
    assert counts(found.plan(None)) == [3, 4, 4]


def test_images_of_other_names_labels_or_sizes_are_another_source(tmp_path):
    root = write_images(tmp_path / "in")
    seen = [list_source(open_folder(root)).plan(1).fingerprint]
    assert list_source(open_folder(root)).plan(2).fingerprint == seen[0]
    (root / "val/emu/1.jpg").rename(root / "val/emu/2.jpg")
    seen.append(list_source(open_folder(root)).plan(1).fingerprint)
    with open(root / "val/emu/2.jpg", "ab") as file:
        file.write(b"\0")
    seen.append(list_source(open_folder(root)).plan(1).fingerprint)
    for split in ("train", "val"):
        (root / split / "ant").mkdir()
        (root / split / "cat/0.png").rename(root / split / "ant/0.png")
    seen.append(list_source(open_folder(root)).plan(1).fingerprint)
    assert len(set(seen)) == 4


def test_an_empty_file_is_named(tmp_path):
    root = write_images(tmp_path / "in")
    (root / "val/dog/1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"^the image .*val/dog/1\.jpg is empty; repair or remove it$"):
        list_source(open_folder(root))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    root = write_images(tmp_path / "in")
    (root / "val/dog/gone.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"^cannot read the image .*val/dog/gone\.jpg: No such file"):
        list_source(open_folder(root))

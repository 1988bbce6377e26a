import json
import re

import pytest

from mindvit.data.mindrecord import processes
from mindvit.data.mindrecord.converter import MindRecordSettings, convert_to_mindrecord
from mindvit.data.mindrecord.reader import open_mindrecord
from mindvit.errors import UserError
from mindvit.parsing import parse
from tests.data.mindrecord.conftest import convert, write_images


def inodes(out):
    return {str(path.relative_to(out)): path.stat().st_ino for path in out.rglob("*.mindrecord*")}


def changed_files(before, out):
    after = inodes(out)
    assert set(before) == set(after)
    return sorted(name for name in after if before[name] != after[name])


def shard(split, number):
    return [f"{split}/{split}-0000{number}-of-00003.mindrecord{end}" for end in ("", ".db")]


def test_a_stopped_conversion_resumes_with_the_unfinished_shards(images, tmp_path, monkeypatch):
    write_shard, out = processes.write_shard, tmp_path / "out"
    started = []

    def stop_in_third_shard(folder, shard, images, on_progress):
        def stop(count):
            raise KeyboardInterrupt

        started.append(shard.name)
        return write_shard(folder, shard, images, stop if len(started) == 3 else on_progress)

    monkeypatch.setattr(processes, "write_shard", stop_in_third_shard)
    with pytest.raises(KeyboardInterrupt, match="run the same command again to resume"):
        convert(images, out, shards=3)
    assert started == ["train-00000-of-00003", "train-00001-of-00003", "train-00002-of-00003"]
    with pytest.raises(UserError, match="is not finished: it has 2 of 6 shards"):
        open_mindrecord(out)
    # The temporary files of a killed process.
    (out / "train/.being-written-x").mkdir()
    (out / "train/.being-written-x/train-00002-of-00003.mindrecord").write_bytes(b"x")
    (out / "train/train-00002-of-00003.mindrecord.db").write_bytes(b"x")
    before = inodes(out)
    convert(images, out, shards=3)
    assert started[3:] == ["train-00002-of-00003", *(f"val-0000{number}-of-00003" for number in range(3))]
    after = inodes(out)
    for name in shard("train", 0) + shard("train", 1):
        assert after[name] == before[name]
    assert len(after) == 12, "no temporary files are left"
    assert len(open_mindrecord(out).val) == 11


def test_a_finished_conversion_stays_unchanged(images, copy, capsys):
    before = inodes(copy)
    convert(images, copy, shards=3)
    assert changed_files(before, copy) == []
    assert re.search(r"^train +11 images of 3 classes in 3 shards, [\d.]+ MB, ", capsys.readouterr().out, re.M)


@pytest.mark.parametrize("ending", ["", ".db"])
def test_a_missing_or_truncated_shard_is_written_again(images, copy, ending):
    before = inodes(copy)
    (copy / (shard("train", 1)[0] + ending)).unlink()
    path = copy / (shard("val", 2)[0] + ending)
    path.write_bytes(path.read_bytes()[:-1])
    convert(images, copy, shards=3)
    assert changed_files(before, copy) == shard("train", 1) + shard("val", 2)
    assert len(open_mindrecord(copy).train) == 11


def test_other_images_or_shards_are_refused_without_overwrite(images, copy, tmp_path):
    other = write_images(tmp_path / "other", counts=(5, 4, 3))
    before = inodes(copy)
    for root, count in ((images, 2), (other, 3)):
        with pytest.raises(UserError, match=r"^--output .*/out has a conversion of other images, or .*--overwrite$"):
            convert(root, copy, shards=count)
    assert changed_files(before, copy) == []
    convert(other, copy, shards=2, overwrite=True)
    assert len(open_mindrecord(copy).train) == 12
    assert sorted(inodes(copy)) == sorted(
        f"{split}/{split}-0000{number}-of-00002.mindrecord{end}"
        for split in ("train", "val")
        for number in range(2)
        for end in ("", ".db")
    )


def test_overwrite_writes_all_shards_again(images, copy):
    before = inodes(copy)
    convert(images, copy, shards=3, overwrite=True)
    assert changed_files(before, copy) == sorted(before)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_refused(images, tmp_path, overwrite):
    root = write_images(tmp_path / "in")
    files = sorted(root.rglob("*"))
    with pytest.raises(UserError, match=r"/in has other files and no conversion; choose an empty"):
        convert(root, root, overwrite=overwrite)
    assert sorted(root.rglob("*")) == files


def test_the_verification_reports_a_corrupt_file(copy):
    verification = MindRecordSettings(verify=str(copy), num_workers=2)
    convert_to_mindrecord(verification)
    flipped = [copy / shard("train", 1)[0], copy / shard("val", 0)[1]]
    for path in flipped:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        convert_to_mindrecord(verification)
    reported = re.findall(r"([^ ]*/out/[^ ]*) is corrupt: its checksum differs from the manifest", str(raised.value))
    assert reported == list(map(str, flipped))


def test_the_verification_reports_a_missing_shard(copy):
    for name in shard("val", 1):
        (copy / name).unlink()
    words = r"^.*val-00001-of-00003\.mindrecord is missing\. Copy these shards again, or remove"
    with pytest.raises(UserError, match=words):
        convert_to_mindrecord(MindRecordSettings(verify=str(copy), num_workers=1))


def test_the_verification_refuses_an_unfinished_conversion(copy):
    path = copy / "manifest.json"
    stored = json.loads(path.read_text())
    stored["splits"]["val"][1]["index"] = None
    path.write_text(json.dumps(stored))
    with pytest.raises(UserError, match="not finished: it has 5 of 6 shards"):
        convert_to_mindrecord(MindRecordSettings(verify=str(copy), num_workers=1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "^set either --output, the folder to write, or --verify"),
        (["--output", "a", "--verify", "b"], "^set either --output"),
        (["--output", "a", "--shards", "0"], "^shards must lie between 1 and 1000, not 0$"),
        (["--output", "a", "--shards", "1001"], "^shards must lie between 1 and 1000, not 1001$"),
        (["--output", "a", "--num_workers", "0"], "^num_workers must be at least 1, not 0$"),
        (["--output", "a", "--source", "cifar10"], "^source must be one of folder, imagenet, digits, not cifar10$"),
    ],
)
def test_invalid_settings_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        parse(MindRecordSettings, "", arguments)


def test_a_missing_source_is_reported_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match=r"data folder .*nowhere does not exist"):
        convert(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()

"""Generated JPEG files."""

from PIL import Image

from mindvit.benchmark import generated_images


def test_the_files_are_those_of_photos(tmp_path, monkeypatch):
    monkeypatch.setattr(generated_images, "COUNT", 8)
    generated_images.write_images(tmp_path)
    files = sorted(tmp_path.glob("train/*/*.jpg"))
    assert len(files) == 8
    assert len({file.parent for file in files}) == 4
    for file in files:
        assert 30_000 < file.stat().st_size < 150_000
        with Image.open(file) as image:
            assert image.size == generated_images.SIZE

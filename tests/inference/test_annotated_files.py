import pytest

from mindvit.errors import UserError
from mindvit.inference.annotated_files import AnnotatedFiles
from mindvit.inference.image_inputs import InputFile


def test_names_do_not_collide(tmp_path):
    files = ["a.png", "a.gif", "A.PNG", "a.jpg", "sub/a.png", "../a.png", "/x/a.JPEG", "a_2.png"]
    inputs = [InputFile(f"/in{index}/{name}", name) for index, name in enumerate(files)]
    names = AnnotatedFiles(tmp_path, inputs)
    found = [str(names.name(file).relative_to(tmp_path)) for file in inputs]
    assert found == ["a.png", "a_2.png", "A_3.png", "a.jpg", "sub/a.png", "a_4.png", "x/a.jpg", "a_2_2.png"]


def test_frames_have_a_file_each(tmp_path):
    video = InputFile("v.mp4", "v.mp4")
    names = AnnotatedFiles(tmp_path, [video])
    assert [names.name(video, frame).name for frame in (0, 30)] == ["v_frame000000.jpg", "v_frame000030.jpg"]


def test_a_long_name_is_cut(tmp_path):
    name = "猫" * 84 + ".png"
    path = AnnotatedFiles(tmp_path, []).name(InputFile(name, name))
    path.touch()


def test_no_image_that_is_classified_is_overwritten(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    files = [InputFile(str(tmp_path / name), name) for name in ("a.png", "b.webp")]
    assert AnnotatedFiles(tmp_path, files).name(files[1]) == tmp_path / "b.png"
    for folder in (tmp_path, tmp_path / "link"):
        with pytest.raises(UserError, match=r"would overwrite .*a\.png; set output to another place"):
            AnnotatedFiles(folder, files).name(files[0])

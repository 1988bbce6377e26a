"""The figure, without a network: the maps are made by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mindvit import cli
from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.models import ViTConfig
from mindvit.visualize.attention_figure import AttentionSettings, draw_attention, resolve_block
from mindvit.visualize.attention_maps import ImageAttention

pytestmark = pytest.mark.eager

CONFIG = ViTConfig(image_size=(8, 12), patch_size=4, embed_dim=16, depth=2, num_heads=2, mlp_dim=8, num_classes=2)


def draw(path, names=("cat", "dog"), block=1, count=1):
    rng = np.random.default_rng(0)
    attention = ImageAttention(np.array([1.0, 2.0], np.float32), rng.random((2, 3)) / 6, rng.random((2, 2, 2, 3)) / 6)
    model = SimpleNamespace(metadata=SimpleNamespace(model=CONFIG, classes=Classes.named(names)))
    draw_attention([Image.new("RGB", (60, 40), "white")] * count, [attention] * count, model, path, block)
    return Image.open(path)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
def test_a_figure_has_the_format_of_its_extension(tmp_path, extension):
    drawn = draw(tmp_path / f"figure.{extension}")
    assert drawn.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[extension]
    assert np.asarray(drawn.convert("L")).std() > 10


def test_heads_take_further_rows(tmp_path):
    assert draw(tmp_path / "without.png", block=None).size[1] < draw(tmp_path / "with.png").size[1]


def test_several_images_have_a_row_each(tmp_path):
    one, two = (draw(tmp_path / f"{count}.png", block=None, count=count).size for count in (1, 2))
    assert two[0] == one[0] and two[1] > 1.5 * one[1]
    # Input, rollout and two heads side by side.
    assert draw(tmp_path / "heads.png", count=2).size[0] > 1.5 * two[0]


@pytest.mark.parametrize("name", ["$x_{", "$$", "\\frac", "a\nb", "x" * 500, "\x1b[2J"])
def test_any_class_name_is_drawn_as_it_is(tmp_path, name):
    draw(tmp_path / "figure.png", ("cat", name))


def test_the_block_is_counted_from_either_end():
    assert [resolve_block(block, CONFIG) for block in (0, -1, -2, None)] == [0, 1, 0, None]
    for block in (2, -3):
        with pytest.raises(UserError, match=f"no block {block}; the network has 2, from 0 to 1"):
            resolve_block(block, CONFIG)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image": ()}, "image must name 1 to 16 files, not 0"),
        ({"image": ("a.png",) * 17}, "image must name 1 to 16 files, not 17"),
        ({"output": "a.gif"}, "output must end in .png"),
        ({"output": "a"}, "output must end in .png"),
        ({"opacity": 1.5}, "opacity must lie between 0 and 1"),
        ({"discard_ratio": 1.0}, "discard_ratio must be at least 0 and less than 1"),
        ({"head_fusion": "sum"}, "head_fusion"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        AttentionSettings(**{"ckpt": "a.ckpt", "image": "a.png", "output": "a.png", **settings})


@pytest.fixture
def visualize(monkeypatch, capfd):
    """Runs ``mindvit visualize``. Returns exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(cli, "_leave", lambda code: (_ for _ in ()).throw(SystemExit(code)))
        with pytest.raises(SystemExit) as exited:
            cli.run_command("visualize", list(map(str, arguments)), "mindvit visualize")
        return exited.value.code, *capfd.readouterr()

    return run


@pytest.mark.slow
def test_the_command_draws_all_figures_of_a_checkpoint(visualize, tiny_checkpoint, tmp_path):
    Image.new("RGB", (30, 20), "red").save(tmp_path / "image.png")
    ckpt = tiny_checkpoint(classes=("cat", "猫"))
    images = ("--image", tmp_path / "image.png", tmp_path / "image.png")
    for kind, more in (("attention", images), ("positions", ()), ("filters", ())):
        output = tmp_path / f"new/{kind}.png"
        code, out, err = visualize(kind, "--ckpt", ckpt, "--output", output, *more)
        assert code == 0, out + err
        assert out == f"wrote {output}\n"
        assert Image.open(output).size[0] > 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("atention",), "no command 'atention'; the nearest is 'attention'"),
        (("attention", "--ckpt", "a.ckpt"), "settings are required: --image"),
        (("positions", "--ckpt", "a.ckpt", "--output", "a.png", "--colormap", "viridi"), "nearest is 'viridis'"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(visualize, arguments, words):
    code, _, err = visualize(*arguments)
    assert code == 2
    assert words in err and err.count("\n") == 1


def test_help_lists_what_can_be_drawn(visualize):
    for arguments in ((), ("--help",)):
        code, out, _ = visualize(*arguments)
        assert code == 0
        assert all(f"  {kind} " in out for kind in ("attention", "positions", "filters"))

"""Extracted features match the outputs of the network, and each row has the name of its image."""

import shutil

import numpy as np
import pytest
from mindspore import Tensor, nn
from PIL import Image
from tqdm import tqdm

from mindvit import extraction
from mindvit.data.images import read_image
from mindvit.data.settings import CORES
from mindvit.data.transforms import eval_input
from mindvit.errors import UserError
from mindvit.extraction import ExtractSettings, Features, extract
from mindvit.factory import load_trained
from mindvit.models.intermediates import Intermediates
from mindvit.runtime import RuntimeSettings

pytestmark = pytest.mark.eager

# Seven images, so that the last batch of three holds one.
NAMES = ("b/2.png", "b/10.png", "a b.png", "b/c/x.jpg", "ä/狗.png", "z.PNG", "b.gif")
ORDERED = ["a b.png", "b/10.png", "b/2.png", "b/c/x.jpg", "b.gif", "z.PNG", "ä/狗.png"]

# MindSpore compiles a cell again if another one was freed in the meantime.
alive = []


def fill(folder):
    rng = np.random.default_rng(3)
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def images(tmp_path):
    return fill(tmp_path / "images")


@pytest.fixture
def run(tmp_path, images):
    """Runs an extraction; returns the content of the file, read without pickle."""

    def extracted(ckpt, folder=images, **settings):
        settings = {"batch_size": 3, "num_workers": 1, **settings}
        settings.setdefault("runtime", RuntimeSettings("CPU", "O0"))
        extract(ExtractSettings(str(ckpt), str(folder), str(tmp_path / "out.npz"), **settings))
        with np.load(tmp_path / "out.npz", allow_pickle=False) as stored:
            assert sorted(stored) == ["features", "files"]
            assert stored["features"].dtype == np.float32
            return stored["features"], stored["files"].tolist()

    return extracted


def intermediates(ckpt, folder, names=ORDERED):
    """All intermediate results of the network by name, for images that are preprocessed one by one."""
    trained = load_trained(str(ckpt))
    config = trained.network.config
    shape, preprocessing = config.image_shape, config.preprocessing
    inputs = np.stack([eval_input(read_image(folder / name), shape, preprocessing) for name in names])
    cell = Intermediates(trained.network).set_train(False)
    alive.append(cell)
    return {name: values.asnumpy() for name, values in cell(Tensor(inputs)).items()}


@pytest.mark.slow
def test_features_are_the_input_of_the_head_sorted_by_path(run, tiny_checkpoint, images, capfd):
    ckpt = tiny_checkpoint(register_tokens=2, pre_logits_dim=12, dropout=0.5)
    features, files = run(ckpt)
    assert files == ORDERED
    expected = intermediates(ckpt, images)["features"]
    assert expected.shape == (7, 12)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert np.abs(features[:, None] - features[None]).max(-1)[~np.eye(7, dtype=bool)].min() > 0.01
    out, err = capfd.readouterr()
    assert out.splitlines()[-1].endswith("out.npz: features 7x12 of 7 images")
    assert "skipped" not in err


def test_progress_counts_images_and_the_bar_is_closed(run, tiny_checkpoint, monkeypatch, images):
    bars = []
    monkeypatch.setattr(extraction, "tqdm", lambda **settings: bars.append(tqdm(**settings)) or bars[-1])
    run(tiny_checkpoint())
    corrupt(images, "b/2.png")
    with pytest.raises(UserError):
        run(tiny_checkpoint())
    assert (bars[0].n, bars[0].total) == (7, 7), "padding is not counted"
    assert [(bar.leave, bar in tqdm._instances) for bar in bars] == [(False, False)] * 2


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"batch_size": 1}, {"batch_size": 16, "num_workers": CORES}], ids=str)
def test_the_batch_size_does_not_change_the_values(run, tiny_checkpoint, how):
    ckpt = tiny_checkpoint()
    (features, files), (others, same_files) = run(ckpt), run(ckpt, **how)
    np.testing.assert_allclose(others, features, atol=1e-5)
    assert same_files == files == ORDERED


@pytest.mark.slow
def test_a_single_image_has_a_row(run, tiny_checkpoint, images, tmp_path):
    ckpt = tiny_checkpoint()
    (tmp_path / "one").mkdir()
    shutil.copy(images / "b/10.png", tmp_path / "one")
    features, files = run(ckpt, tmp_path / "one")
    assert files == ["10.png"]
    np.testing.assert_allclose(features, intermediates(ckpt, images, ["b/10.png"])["features"], atol=1e-5)


BLOCKS = {
    "first, class token": (0, "cls", {"register_tokens": 1}, "block0", lambda x: x[:, 0]),
    "by default": (1, None, {}, "block1", lambda x: x[:, 0]),
    "last, mean": (-1, "mean", {"register_tokens": 2}, "block1", lambda x: x[:, 3:].mean(1)),
    "last but one, all": (-2, "all", {"distilled": True}, "block0", lambda x: x),
    "no class token": (0, None, {"pool": "mean"}, "block0", lambda x: x.mean(1)),
}


@pytest.mark.graph
@pytest.mark.slow
@pytest.mark.parametrize(("block", "tokens", "network", "name", "choose"), BLOCKS.values(), ids=BLOCKS)
def test_the_output_of_a_block(run, tiny_checkpoint, images, block, tokens, network, name, choose):
    ckpt = tiny_checkpoint(depth=2, **network)
    features, files = run(ckpt, block=block, tokens=tokens)
    expected = intermediates(ckpt, images)
    assert files == ORDERED
    np.testing.assert_allclose(features, choose(expected[name]), atol=1e-5)
    other = {"block0": "block1", "block1": "block0"}[name]
    assert np.abs(features - choose(expected[other])).max() > 0.01


@pytest.mark.graph
@pytest.mark.slow
def test_float16_is_close_to_float32(run, tiny_checkpoint):
    ckpt = tiny_checkpoint(depth=2)
    for settings in ({}, {"block": 1, "tokens": "all"}):
        exact, _ = run(ckpt, **settings)
        rounded, _ = run(ckpt, runtime=RuntimeSettings("CPU", "O2"), **settings)
        assert 1e-6 < np.abs(rounded - exact).max() < 0.02


def corrupt(folder, *names):
    for name in names:
        (folder / name).write_bytes((folder / name).read_bytes()[:80])


def test_a_corrupt_image_ends_the_extraction(run, tiny_checkpoint, images, tmp_path):
    corrupt(images, "b/2.png")
    (tmp_path / "out.npz").write_bytes(b"before")
    with pytest.raises(UserError, match=r"b/2\.png is corrupt"):
        run(tiny_checkpoint())
    assert (tmp_path / "out.npz").read_bytes() == b"before"


@pytest.mark.slow
def test_corrupt_images_are_skipped_and_names_match_their_features(run, tiny_checkpoint, images, tmp_path, capfd):
    corrupt(images, "a b.png", "b/c/x.jpg", "ä/狗.png")
    ckpt = tiny_checkpoint()
    features, files = run(ckpt, on_corrupt="skip", num_workers=CORES)
    assert files == ["b/10.png", "b/2.png", "b.gif", "z.PNG"]
    np.testing.assert_allclose(features, intermediates(ckpt, images, files)["features"], atol=1e-5)
    reported = [line for line in capfd.readouterr().err.splitlines() if "skipped, corrupt: " in line]
    assert [line.split("images/")[1] for line in reported] == ["a b.png", "b/c/x.jpg", "ä/狗.png"]


def test_a_folder_of_corrupt_images_is_reported(run, tiny_checkpoint, images):
    corrupt(images, *NAMES)
    with pytest.raises(UserError, match="images has no image that can be decoded"):
        run(tiny_checkpoint(), on_corrupt="skip")


def test_features_that_are_not_finite_are_refused(run, tiny_checkpoint, monkeypatch):
    def broken(*arguments):
        trained = load_trained(*arguments)
        trained.network.norm.gamma.set_data(trained.network.norm.gamma * float("nan"))
        return trained

    monkeypatch.setattr(extraction, "load_trained", broken)
    with pytest.raises(UserError, match="the features are not finite"):
        run(tiny_checkpoint())


def test_features_rename_no_weights(tiny_checkpoint):
    network = load_trained(str(tiny_checkpoint())).network
    names = [parameter.name for parameter in network.get_parameters()]
    cell = Features(network)
    assert isinstance(cell, nn.Cell)
    assert [parameter.name for parameter in network.get_parameters()] == names


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 0}, r"^batch_size must be at least 1, not 0"),
        ({"num_workers": 0}, r"^num_workers must lie between 1 and this machine's \d+ cores, not 0"),
        ({"num_workers": CORES + 1}, rf"^num_workers must lie between 1 and this machine's {CORES} cores"),
        ({"tokens": "mean"}, r"tokens applies to the output of a block; choose a block with --block"),
        ({"output": "out.npy"}, r"output must end in \.npz, not out\.npy"),
    ],
)
def test_invalid_settings_are_reported(settings, words):
    with pytest.raises(ValueError, match=words):
        ExtractSettings(**{"ckpt": "a.ckpt", "folder": "b", "output": "c.npz", **settings})

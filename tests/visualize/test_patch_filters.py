import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image
from sklearn.decomposition import PCA

from mindvit.errors import UserError
from mindvit.models import ViT, ViTConfig
from mindvit.visualize.patch_filters import as_image, draw_filters, filter_components, first_layer_filters

pytestmark = pytest.mark.eager

SIZES = {"image_size": 8, "patch_size": 4, "embed_dim": 64, "depth": 1, "num_heads": 2, "mlp_dim": 8}


@pytest.fixture
def network():
    return ViT(ViTConfig(**SIZES))


def test_the_components_are_those_of_scikit_learn(network):
    found = filter_components(network, 5)
    weight = network.patch_embedding.conv.weight.asnumpy().astype(np.float64)
    expected = PCA(5, svd_solver="full").fit(weight.transpose(0, 2, 3, 1).reshape(64, -1))
    np.testing.assert_allclose(found.explained, expected.explained_variance_ratio_, atol=1e-9)
    assert found.components.shape == (5, 4, 4, 3)
    for one, other in zip(found.components.reshape(5, -1), expected.components_, strict=True):
        assert abs(one @ other) == pytest.approx(1)
        assert one[np.abs(one).argmax()] > 0


def test_a_pattern_in_all_filters_is_the_first_component(network):
    pattern = np.random.default_rng(0).standard_normal((3, 4, 4)).astype(np.float32)
    strengths = np.linspace(-1, 1, 64, dtype=np.float32)[:, None, None, None]
    network.patch_embedding.conv.weight.set_data(Tensor(strengths * pattern + 7))
    found = filter_components(network)
    assert found.explained[0] == pytest.approx(1)
    direction = pattern.transpose(1, 2, 0) / np.linalg.norm(pattern)
    assert abs((found.components[0] * direction).sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("stem", "side", "filters"), [("r50_s16", 7, 64), ("efficientnet_b0", 3, 32)])
def test_of_a_hybrid_the_first_convolution_is_drawn(stem, side, filters):
    hybrid = ViT(ViTConfig(**{**SIZES, "image_size": 64, "patch_size": 32, "stem": stem}))
    found = first_layer_filters(hybrid)
    assert found.shape == (filters, side, side, 3)
    if stem == "r50_s16":
        np.testing.assert_allclose(found.mean((1, 2, 3)), 0, atol=1e-9)
        np.testing.assert_allclose(found.std((1, 2, 3)), 1, atol=1e-3)


def test_filters_that_are_not_finite_are_refused(network):
    network.patch_embedding.conv.weight.set_data(Tensor(np.full((64, 3, 4, 4), np.nan, np.float32)))
    with pytest.raises(UserError, match="not finite"):
        filter_components(network)


def test_a_component_is_scaled_to_the_range_of_a_pixel():
    assert as_image(np.array([[[-1.0, 0.0, 3.0]]])).tolist() == [[[0, 64, 255]]]
    assert as_image(np.zeros((1, 1, 3))).tolist() == [[[128, 128, 128]]]


def test_the_figure_shows_as_many_components_as_there_are(network, tmp_path):
    draw_filters(network, tmp_path / "few.png", 2)
    draw_filters(network, tmp_path / "all.png", 1000)
    few, whole = (Image.open(tmp_path / name).size for name in ("few.png", "all.png"))
    assert few[0] < whole[0] and few[1] < whole[1]

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from mindvit.errors import UserError
from mindvit.models import ViT, ViTConfig
from mindvit.visualize.position_similarity import draw_positions, position_similarity, shown_patches
from tests import numpy_vit

SIZES = {"image_size": (8, 12), "patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2, "mlp_dim": 8}


def network(**settings):
    return ViT(ViTConfig(**{**SIZES, **settings}))


@pytest.mark.parametrize("kind", ["learned", "learned2d", "sincos2d"])
@pytest.mark.parametrize("distilled", [False, True])
def test_each_patch_has_a_map_of_cosines_over_the_grid(kind, distilled):
    made = network(pos_embed=kind, distilled=distilled)
    weights = {parameter.name: parameter.asnumpy() for parameter in made.get_parameters()}
    table = numpy_vit.pos_embed_table(weights, kind, (2, 3), 16)[-6:]
    found = position_similarity(made)
    assert found.shape == (2, 3, 2, 3)
    for one in range(6):
        for other in range(6):
            cosine = table[one] @ table[other] / np.linalg.norm(table[one]) / np.linalg.norm(table[other])
            assert found[one // 3, one % 3, other // 3, other % 3] == pytest.approx(cosine, abs=1e-6)


def test_a_large_grid_has_maps_of_some_patches_evenly_spaced():
    assert shown_patches(5, None).tolist() == [0, 1, 2, 3, 4]
    assert shown_patches(9, 3).tolist() == [0, 4, 8]
    made = network(image_size=(8, 40), pos_embed="sincos2d")
    found, whole = position_similarity(made, maximum=4), position_similarity(made)
    assert found.shape == (2, 4, 2, 10)
    np.testing.assert_array_equal(found, whole[:, [0, 3, 6, 9]])


@pytest.mark.parametrize("kind", ["relative", "none"])
def test_a_network_without_a_table_of_positions_is_refused(kind):
    with pytest.raises(UserError, match=f"pos_embed {kind}.*no similarity to draw"):
        position_similarity(network(pos_embed=kind))


def test_embeddings_that_are_zero_or_not_finite():
    made = network()
    values = np.ones((1, 7, 16), np.float32)
    values[0, 1] = 0
    made.pos_embedding.set_data(Tensor(values))
    found = position_similarity(made)
    assert not found[0, 0].any() and (found[1, 2].ravel()[1:] == pytest.approx(1))
    made.pos_embedding.set_data(Tensor(np.full((1, 7, 16), np.inf, np.float32)))
    with pytest.raises(UserError, match="not finite"):
        position_similarity(made)


def test_the_figure_has_a_map_for_each_patch(tmp_path):
    made = network(pos_embed="sincos2d")
    draw_positions(made, tmp_path / "positions.png", "gray")
    pixels = np.asarray(Image.open(tmp_path / "positions.png").convert("L"))
    assert pixels.shape[0] > 200 and pixels.shape[1] > 200
    assert len(np.unique(pixels)) > 10

import pytest

from mindvit import create_model
from mindvit.analysis import host_memory
from mindvit.analysis.host_memory import check_fits
from mindvit.errors import UserError
from mindvit.models.variants import list_models, model_config
from mindvit.models.vit_config import ViTConfig

SMALL = {"patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 2, "mlp_dim": 16}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"depth": 10**9},
            r"the [\d,]+ parameters of the model take [\d,]+ GB, .*set a smaller model \(depth, embed_dim",
        ),
        ({"embed_dim": 12 * 10**8}, "parameters of the model take"),
        ({"mlp_dim": 10**9}, "parameters of the model take"),
        ({"register_tokens": 10**10}, "parameters of the model take"),
        ({"num_classes": 10**10}, "parameters of the model take"),
        ({"image_size": 16 * 10**8}, "an image of 1600000000x1600000000 px takes .* GB, .*set a smaller image_size"),
    ],
    ids=str,
)
def test_a_model_that_no_machine_can_hold_is_refused_before_it_is_made(settings, words):
    with pytest.raises(UserError, match=words):
        create_model("vit_b_16_224", **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pos_embed": "sincos2d", "embed_dim": 512, "num_heads": 8}, "the position embeddings take"),
        ({"pos_embed": "relative"}, "the relative position biases take"),
        ({"pos_embed": "none", "window_size": 10**9 + 1}, "the mask of local attention takes"),
    ],
    ids=str,
)
def test_fixed_tables_count_too(monkeypatch, settings, words):
    monkeypatch.setattr(host_memory.os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 20_000_000}.get)
    with pytest.raises(UserError, match=words):
        check_fits(ViTConfig(400, num_classes=2, **{**SMALL, **settings}))


def test_every_model_of_the_table_fits_into_twelve_gigabytes(monkeypatch):
    monkeypatch.setattr(host_memory.os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 12 * 10**9}.get)
    for name in list_models():
        check_fits(model_config(name))

"""Models of other libraries whose tensor names are nearly those of a Vision Transformer."""

from pathlib import Path

import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.layouts.detect import LAYOUTS, detect_layout
from mindvit.weights.layouts.look_alikes import refuse_look_alike
from tests.weights.published import PublishedFile, renamed

# Names that Transformers 5.23 and timm 1.0.31 give to the first block, beside those that a ViT also has.
NAMES = {
    "dinov2": ["embeddings.mask_token", "encoder.layer.0.norm1.weight", "encoder.layer.0.layer_scale1.lambda1"],
    "dinov2 with a head": ["dinov2.encoder.layer.0.layer_scale2.lambda1", "classifier.weight"],
    "dinov3": ["embeddings.register_tokens", "embeddings.patch_embeddings.weight", "layer.0.layer_scale1.lambda1"],
    "beit": ["beit.encoder.layer.0.lambda_1", "beit.pooler.layernorm.weight"],
    "beit without a prefix": ["encoder.layer.0.lambda_1", "encoder.layer.0.attention.attention.query.bias"],
    "data2vec": ["data2vec_vision.encoder.relative_position_bias.relative_position_bias_table"],
    "beit of timm": ["blocks.0.attn.q_bias", "blocks.0.attn.relative_position_bias_table", "blocks.0.gamma_1"],
    "eva of timm": ["blocks.0.attn.q_bias", "blocks.0.attn.v_bias"],
}
REASONS = {
    "dinov2": "DINOv2 of Transformers.*timm",
    "dinov3": "DINOv3 .* rotates",
    "b": "BEiT",
    "d": "BEiT",
    "e": "BEiT",
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("library", ["huggingface", "timm"])
def test_a_look_alike_is_refused_with_its_name(kind, library):
    weights = PublishedFile(library).weights("vit") | {name: np.zeros(2, np.float32) for name in NAMES[kind]}
    reason = next(reason for start, reason in REASONS.items() if kind.startswith(start))
    with pytest.raises(UserError, match=rf"x\.npz has the weights of {reason}"):
        detect_layout(weights, Path("x.npz"))


@pytest.mark.parametrize(
    ("library", "model"),
    [("timm", "deit3"), ("timm", "reg4_gap"), ("huggingface", "vit"), ("huggingface", "deit"), ("google", "original")],
)
def test_supported_models_are_no_look_alikes(library, model):
    refuse_look_alike(PublishedFile(library).weights(model), Path("x.npz"))


def test_layer_scale_in_the_names_of_the_authors_of_deit3_is_no_look_alike():
    weights = renamed(PublishedFile("timm").weights("deit3"), ("ls1.gamma", "gamma_1"), ("ls2.gamma", "gamma_2"))
    assert detect_layout(weights, Path("x.npz")) in LAYOUTS

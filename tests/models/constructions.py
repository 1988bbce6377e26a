"""Tiny networks with every architecture setting, shared by several tests."""

import mindspore as ms
import numpy as np
from mindspore import nn

from mindvit.models import ViT, ViTConfig
from tests import numpy_vit

# One block compiles quickly. The epsilon is large, so that a norm with another epsilon gives different results.
SMALL = {
    "image_size": 12,
    "patch_size": 4,
    "num_classes": 7,
    "embed_dim": 12,
    "depth": 1,
    "num_heads": 3,
    "mlp_dim": 20,
    "norm_eps": 0.1,
}

CONSTRUCTIONS = {
    "plain": {"depth": 3},
    "exact_gelu": {"gelu": "exact"},
    "overlapping": {"image_size": 10, "patch_stride": 3},
    "wide": {"image_size": (8, 16)},
    "learned2d": {"image_size": (8, 16), "pos_embed": "learned2d"},
    "sincos2d": {"image_size": (16, 8), "pos_embed": "sincos2d"},
    "relative": {"image_size": (12, 8), "pos_embed": "relative", "depth": 2},
    "no_pos_embed": {"pos_embed": "none"},
    "registers": {"register_tokens": 3},
    "class_token_without_pos_embed": {"prefix_pos_embed": False},
    "qk_norm": {"qk_norm": True},
    "layer_scale": {"layer_scale": 0.1},
    "mean": {"pool": "mean"},
    "mean_with_class_token": {"pool": "mean", "class_token": True},
    "mean_norm": {"pool": "mean_norm", "register_tokens": 2},
    "map": {"pool": "map"},
    "pre_logits": {"pre_logits_dim": 6},
    "distilled": {"distilled": True},
    "deit3": {"prefix_pos_embed": False, "layer_scale": 0.1, "distilled": True, "register_tokens": 2},
    "window_size": {"image_size": (20, 16), "window_size": 3},
    "window_with_relative_bias": {
        "image_size": (36, 40),
        "window_size": 3,
        "pos_embed": "relative",
        "register_tokens": 2,
        "qk_norm": True,
    },
    "map_with_all": {
        "depth": 2,
        "image_size": (16, 10),
        "patch_stride": 2,
        "pos_embed": "learned2d",
        "class_token": True,
        "register_tokens": 2,
        "qk_norm": True,
        "layer_scale": 0.1,
        "pool": "map",
        "pre_logits_dim": 6,
        "gelu": "exact",
    },
    "mean_norm_with_all": {
        "depth": 2,
        "image_size": (8, 13),
        "patch_stride": 1,
        "patch_size": 5,
        "pos_embed": "relative",
        "class_token": True,
        "register_tokens": 2,
        "qk_norm": True,
        "layer_scale": 0.1,
        "pool": "mean_norm",
        "in_channels": 1,
    },
    "distilled_with_all": {
        "depth": 2,
        "image_size": (8, 14),
        "patch_stride": 3,
        "patch_size": 8,
        "distilled": True,
        "register_tokens": 2,
        "qk_norm": True,
        "layer_scale": 0.1,
    },
}


def config_of(name: str, **settings: object) -> ViTConfig:
    return ViTConfig(**{**SMALL, **CONSTRUCTIONS[name], **settings})


def randomize(cell: nn.Cell, rng: np.random.Generator, scale: float = 0.3) -> dict[str, np.ndarray]:
    """Sets random weights, and returns them by name in float64."""
    shapes = {parameter.name: parameter.shape for parameter in cell.get_parameters()}
    weights = numpy_vit.random_weights(shapes, rng, scale)
    for parameter in cell.get_parameters():
        parameter.set_data(ms.Tensor(weights[parameter.name]))
    return {name: values.astype(np.float64) for name, values in weights.items()}


def random_network(config: ViTConfig, rng: np.random.Generator) -> tuple[ViT, dict[str, np.ndarray]]:
    """A network with random weights, in evaluation mode, and the weights in float64."""
    network = ViT(config).set_train(False)
    return network, randomize(network, rng, scale=0.5)


def random_images(config: ViTConfig, rng: np.random.Generator, count: int = 2) -> np.ndarray:
    """Random images for a network, float32."""
    return rng.standard_normal((count, config.in_channels, *config.image_shape)).astype(np.float32)

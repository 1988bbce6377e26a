"""A checkpoint that knows the digits, made without training: a head fitted to the features of a random network."""

import mindspore as ms
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from mindvit.classes import Classes
from mindvit.models import ViT, ViTConfig
from mindvit.models.vit_config import Preprocessing
from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.metadata import CheckpointMetadata
from tests import numpy_vit

CONFIG = ViTConfig(
    image_size=8,
    patch_size=4,
    embed_dim=128,
    depth=1,
    num_heads=2,
    mlp_dim=256,
    num_classes=10,
    pool="mean",
    preprocessing=Preprocessing((0.5,) * 3, (0.5,) * 3, crop_pct=1.0),
)
FITTED, NEW = 400, 100
"""Numbers of digits that the head is fitted to, and that it is tried on."""


def digits():
    """The digits as gray values from 0 to 255, uint8 (images, 8, 8), and their labels."""
    found = load_digits()
    return (found.images * 255 / 16).astype(np.uint8), found.target


def write_digit_checkpoint(path, names):
    """Writes the checkpoint. Returns an index for each class of a digit that it classifies correctly, new to it."""
    network = ViT(CONFIG)
    shapes = {parameter.name: parameter.shape for parameter in network.get_parameters()}
    weights = numpy_vit.random_weights(shapes, np.random.default_rng(0), scale=0.1)
    weights["pos_embedding"] *= 10  # So that a patch has other features at another place.
    images, labels = digits()
    count = FITTED + NEW
    pixels = np.repeat((images[:count, None] / 127.5 - 1), 3, axis=1)
    # With an identity for a head, the logits are the features.
    features = numpy_vit.vit_of(pixels, weights | {"dense.weight": np.eye(128), "dense.bias": np.zeros(128)}, CONFIG)
    head = LogisticRegression(C=100, max_iter=1000).fit(features[:FITTED], labels[:FITTED])
    weights |= {"dense.weight": head.coef_, "dense.bias": head.intercept_}
    for parameter in network.get_parameters():
        parameter.set_data(ms.Tensor(weights[parameter.name].astype(np.float32)))
    write_checkpoint(path, network, CheckpointMetadata("vit_mini_4_32", CONFIG, Classes.named(tuple(names))))
    odds, truth = head.predict_proba(features[FITTED:]), labels[FITTED:count]
    sure = np.where(odds.argmax(1) == truth, odds.max(1), 0)
    best = [int(np.where(truth == label, sure, 0).argmax()) for label in range(10)]
    assert all(sure[best] > 0.8), "the network knows the digits"
    return [FITTED + index for index in best]


def save_digit(index, path):
    """Writes a digit as an image file."""
    Image.fromarray(digits()[0][index]).save(path)
    return path

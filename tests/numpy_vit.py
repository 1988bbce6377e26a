"""The ViT of MindSpore's tutorial in NumPy, from its description alone: the reference that the cells are held to."""

import math

import numpy as np
from scipy.special import erf


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_exact(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def layer_norm(x, gamma, beta, eps):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * gamma + beta


def softmax(x):
    odds = np.exp(x - x.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def attention(x, w, prefix, num_heads):
    batch, _, width = x.shape
    head_dim = width // num_heads
    qkv = x @ w[f"{prefix}.qkv.weight"].T + w[f"{prefix}.qkv.bias"]
    out = np.zeros_like(x)
    for sample in range(batch):
        for head in range(num_heads):
            # The outputs of qkv are ordered (3, heads, head_dim).
            query, key, value = (
                qkv[sample, :, part * width + head * head_dim : part * width + (head + 1) * head_dim]
                for part in range(3)
            )
            weights = softmax(query @ key.T * head_dim**-0.5)
            out[sample, :, head * head_dim : (head + 1) * head_dim] = weights @ value
    return out @ w[f"{prefix}.out.weight"].T + w[f"{prefix}.out.bias"]


def feed_forward(x, w, prefix, gelu):
    hidden = gelu(x @ w[f"{prefix}.dense1.weight"].T + w[f"{prefix}.dense1.bias"])
    return hidden @ w[f"{prefix}.dense2.weight"].T + w[f"{prefix}.dense2.bias"]


def patches(images, kernel, bias):
    """The convolution with kernel = stride = patch, patch by patch, row by row."""
    width, _, patch, _ = kernel.shape
    rows, columns = images.shape[2] // patch, images.shape[3] // patch
    out = np.empty((len(images), rows * columns, width), images.dtype)
    for row in range(rows):
        for column in range(columns):
            cut = images[:, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            out[:, row * columns + column] = np.tensordot(cut, kernel, ((1, 2, 3), (1, 2, 3))) + bias
    return out


def vit(images, w, num_heads, eps=1e-7, gelu=gelu_tanh):
    x = patches(images, w["patch_embedding.conv.weight"], w["patch_embedding.conv.bias"])
    x = np.concatenate([np.repeat(w["cls"], len(x), 0), x], 1) + w["pos_embedding"]
    depth = len({name.split(".")[2] for name in w if name.startswith("transformer.layers.")})
    for block in range(depth):
        for part in (0, 1):
            prefix = f"transformer.layers.{block}.{part}.cell"
            normed = layer_norm(x, w[f"{prefix}.0.gamma"], w[f"{prefix}.0.beta"], eps)
            x = x + (
                attention(normed, w, f"{prefix}.1", num_heads)
                if part == 0
                else feed_forward(normed, w, f"{prefix}.1", gelu)
            )
    x = layer_norm(x, w["norm.gamma"], w["norm.beta"], eps)[:, 0]
    return x @ w["dense.weight"].T + w["dense.bias"]


def random_weights(shapes, rng, scale=0.02):
    """Weights of a spread that makes every part matter: norms near 1, the rest N(0, scale)."""
    weights = {}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape) * (0.1 if name.endswith(("gamma", "beta")) else scale)
        weights[name] = (values + name.endswith("gamma")).astype(np.float32)
    return weights

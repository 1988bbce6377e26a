"""NumPy reference of the ViT of MindSpore's tutorial and of its variants, written from their descriptions.

The names of the weights determine the architecture: class token, distillation token, registers, LayerScale, qk norm,
relative position bias, MAP, pre-logits layer. Other settings are arguments.
"""

import math

import numpy as np
from scipy.special import erf


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_exact(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


GELU = {"tanh": gelu_tanh, "exact": gelu_exact}


def layer_norm(x, gamma, beta, eps):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * gamma + beta


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def attention(x, w, prefix, num_heads, eps=1e-7, grid=None, window_size=None):
    """Self-attention, head by head. Local attention and the relative position bias need the grid."""
    return weighted_values(x, attention_weights(x, w, prefix, num_heads, eps, grid, window_size), w, prefix)


def weighted_values(x, weights, w, prefix):
    """The output of self-attention with the given attention weights."""
    num_heads, width = weights.shape[1], x.shape[2]
    values = (x @ w[f"{prefix}.qkv.weight"].T + w[f"{prefix}.qkv.bias"])[:, :, 2 * width :]
    out = np.zeros_like(x)
    for sample in range(len(x)):
        for head, columns in enumerate(np.arange(width).reshape(num_heads, -1)):
            out[sample, :, columns] = (weights[sample, head] @ values[sample][:, columns]).T
    return out @ w[f"{prefix}.out.weight"].T + w[f"{prefix}.out.bias"]


def attention_weights(x, w, prefix, num_heads, eps=1e-7, grid=None, window_size=None):
    """The attention weights, (batch, num_heads, tokens, tokens); arguments as of ``attention``."""
    batch, tokens, width = x.shape
    head_dim = width // num_heads
    qkv = x @ w[f"{prefix}.qkv.weight"].T + w[f"{prefix}.qkv.bias"]
    weights = np.zeros((batch, num_heads, tokens, tokens), x.dtype)
    for sample in range(batch):
        for head in range(num_heads):
            # The outputs of qkv have the order (3, heads, head_dim).
            query, key = (
                qkv[sample, :, part * width + head * head_dim : part * width + (head + 1) * head_dim]
                for part in range(2)
            )
            if f"{prefix}.query_norm.gamma" in w:
                query = layer_norm(query, w[f"{prefix}.query_norm.gamma"], w[f"{prefix}.query_norm.beta"], eps)
                key = layer_norm(key, w[f"{prefix}.key_norm.gamma"], w[f"{prefix}.key_norm.beta"], eps)
            scores = query @ key.T * head_dim**-0.5
            if window_size is not None:
                scores = np.where(outside_window(grid, tokens, window_size), -np.inf, scores)
            if f"{prefix}.relative_bias.table" in w:
                scores = scores + relative_bias(w[f"{prefix}.relative_bias.table"][head], grid, tokens)
            weights[sample, head] = softmax(scores)
    return weights


def outside_window(grid, tokens, window_size):
    """The keys that each query does not attend to: patches outside its window."""
    rows, columns = grid
    patch = np.arange(rows * columns)
    prefix, half = tokens - len(patch), window_size // 2
    down, right = (np.abs(np.subtract.outer(at, at)) for at in (patch // columns, patch % columns))
    outside = np.zeros((tokens, tokens), bool)
    outside[prefix:, prefix:] = (down > half) | (right > half)
    return outside


def relative_bias(table, grid, tokens):
    """The bias of one head, one row per query: that of the offset of two patches; 0 for prefix tokens."""
    rows, columns = grid
    bias = np.zeros((tokens, tokens))
    prefix = tokens - rows * columns
    for query in range(rows * columns):
        for key in range(rows * columns):
            down, right = query // columns - key // columns, query % columns - key % columns
            bias[prefix + query, prefix + key] = table[down + rows - 1, right + columns - 1]
    return bias


def feed_forward(x, w, prefix, gelu):
    hidden = gelu(x @ w[f"{prefix}.dense1.weight"].T + w[f"{prefix}.dense1.bias"])
    return hidden @ w[f"{prefix}.dense2.weight"].T + w[f"{prefix}.dense2.bias"]


def patches(images, kernel, bias, stride=None):
    """The convolution with a kernel and a stride (None: the side of the kernel), patch by patch, row by row."""
    width, _, patch, _ = kernel.shape
    rows, columns = grid_of(images, patch, stride)
    stride = stride or patch
    out = np.empty((len(images), rows * columns, width), images.dtype)
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            window = images[:, :, top : top + patch, left : left + patch]
            out[:, row * columns + column] = np.tensordot(window, kernel, ((1, 2, 3), (1, 2, 3))) + bias
    return out


def grid_of(images, patch, stride=None):
    """Rows and columns of patches."""
    return tuple(len(range(0, side - patch + 1, stride or patch)) for side in images.shape[2:])


def pos_embed_table(w, kind, grid, width):
    """The position embeddings, one row per patch; in a learned table the rows of the prefix tokens come first."""
    rows, columns = grid
    coordinates = [(row, column) for row in range(rows) for column in range(columns)]
    if kind == "learned":
        return w["pos_embedding"][0]
    if kind == "learned2d":
        return np.array([np.concatenate([w["pos_columns"][0, x], w["pos_rows"][0, y]]) for y, x in coordinates])
    if kind == "sincos2d":
        frequencies = 10000.0 ** -np.linspace(0, 1, width // 4)
        return np.array(
            [
                np.concatenate([f(position * frequencies) for position in (x, y) for f in (np.sin, np.cos)])
                for y, x in coordinates
            ]
        )
    return np.zeros((rows * columns, width))


def embed(images, w, stride=None, pos_embed="learned", prefix_pos_embed=True):
    """The input of the first block: class token, distillation token and registers, then the patches."""
    kernel = w["patch_embedding.conv.weight"]
    x = patches(images, kernel, w["patch_embedding.conv.bias"], stride)
    table = pos_embed_table(w, pos_embed, grid_of(images, kernel.shape[2], stride), len(kernel))
    x = x + table[len(table) - x.shape[1] :]
    prefix = [w[name][0] for name in ("cls", "distillation") if name in w]
    if pos_embed == "learned" and prefix_pos_embed:
        prefix = [token + row for token, row in zip(prefix, table, strict=False)]
    prefix += [w["registers"][0]] if "registers" in w else []
    return np.concatenate([np.repeat(part[None], len(x), 0) for part in prefix] + [x], 1)


def encode(x, w, num_heads, eps=1e-7, gelu=gelu_tanh, grid=None, window_size=None):
    """All blocks."""
    return blocks(x, w, num_heads, eps, gelu, grid, window_size)[0]


def blocks(x, w, num_heads, eps=1e-7, gelu=gelu_tanh, grid=None, window_size=None):
    """The output of the last block, and the attention weights of each block."""
    depth = len({name.split(".")[2] for name in w if name.startswith("transformer.layers.")})
    weights = []
    for block in range(depth):
        for part in (0, 1):
            residual = f"transformer.layers.{block}.{part}"
            normed = layer_norm(x, w[f"{residual}.cell.0.gamma"], w[f"{residual}.cell.0.beta"], eps)
            if part == 0:
                weights.append(attention_weights(normed, w, f"{residual}.cell.1", num_heads, eps, grid, window_size))
                branch = weighted_values(normed, weights[-1], w, f"{residual}.cell.1")
            else:
                branch = feed_forward(normed, w, f"{residual}.cell.1", gelu)
            x = x + branch * w.get(f"{residual}.layer_scale", 1.0)
    return x, weights


def attention_pool(x, w, num_heads, eps=1e-7, gelu=gelu_tanh, prefix="pool"):
    """MAP: attention of one query to all tokens, head by head, then a feed-forward layer with a residual connection."""
    batch, _, width = x.shape
    query = w[f"{prefix}.probe"][0] @ w[f"{prefix}.query.weight"].T + w[f"{prefix}.query.bias"]
    both = x @ w[f"{prefix}.keys_and_values.weight"].T + w[f"{prefix}.keys_and_values.bias"]
    key, value = both[:, :, :width], both[:, :, width:]
    pooled = np.zeros((batch, width))
    for sample in range(batch):
        for head in np.arange(width).reshape(num_heads, -1):
            weights = softmax(query[:, head] @ key[sample][:, head].T / math.sqrt(len(head)))
            pooled[sample, head] = (weights @ value[sample][:, head])[0]
    pooled = pooled @ w[f"{prefix}.out.weight"].T + w[f"{prefix}.out.bias"]
    normed = layer_norm(pooled, w[f"{prefix}.norm.gamma"], w[f"{prefix}.norm.beta"], eps)
    return pooled + feed_forward(normed, w, f"{prefix}.feed_forward", gelu)


def vit(
    images,
    w,
    num_heads,
    eps=1e-7,
    gelu=gelu_tanh,
    *,
    stride=None,
    pos_embed="learned",
    prefix_pos_embed=True,
    pool="cls",
    window_size=None,
    both_heads=False,
):
    """Logits; of a distilled network the mean of both heads, or with ``both_heads`` a pair."""
    grid = grid_of(images, w["patch_embedding.conv.weight"].shape[2], stride)
    x = embed(images, w, stride, pos_embed, prefix_pos_embed)
    x = encode(x, w, num_heads, eps, gelu, grid, window_size)
    normed = layer_norm(x, w["norm.gamma"], w["norm.beta"], eps)
    patch_tokens = slice(x.shape[1] - grid[0] * grid[1], None)
    if pool == "mean_norm":
        features = layer_norm(x[:, patch_tokens].mean(1), w["norm.gamma"], w["norm.beta"], eps)
    elif pool == "mean":
        features = normed[:, patch_tokens].mean(1)
    elif pool == "map":
        features = attention_pool(normed, w, num_heads, eps, gelu)
    else:
        features = normed[:, 0]
    if "pre_logits.weight" in w:
        features = np.tanh(features @ w["pre_logits.weight"].T + w["pre_logits.bias"])
    logits = features @ w["dense.weight"].T + w["dense.bias"]
    if "distillation" not in w:
        return logits
    distillation_logits = normed[:, 1] @ w["dense_distillation.weight"].T + w["dense_distillation.bias"]
    return (logits, distillation_logits) if both_heads else (logits + distillation_logits) / 2


def vit_of(images, w, config, **more):
    """``vit`` with the settings of a ``ViTConfig``."""
    return vit(
        images,
        w,
        config.num_heads,
        config.norm_eps,
        GELU[config.gelu],
        stride=config.patch_stride,
        pos_embed=config.pos_embed,
        prefix_pos_embed=config.prefix_pos_embed,
        pool=config.pool,
        window_size=config.window_size,
        **more,
    )


def random_weights(shapes, rng, scale=0.02):
    """Random weights with which every layer affects the output: gamma near 1, the others N(0, scale)."""
    weights = {}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape) * (0.1 if name.endswith(("gamma", "beta")) else scale)
        weights[name] = (values + name.endswith("gamma")).astype(np.float32)
    return weights

"""The ViT of MindSpore's tutorial and its relatives in NumPy, from their descriptions alone: the reference that the
cells are held to.

What a network has beside its sizes is seen from its weights' names: class token, distillation, registers, LayerScale,
norms of queries and keys, relative biases, MAP, pre-logits. The rest are arguments.
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
    odds = np.exp(x - x.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def attention(x, w, prefix, num_heads, eps=1e-7, grid=None, window_size=None):
    """Self-attention, head by head. The grid is needed for a window, and where there is a table of relative biases."""
    batch, tokens, width = x.shape
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
            if f"{prefix}.query_norm.gamma" in w:
                query = layer_norm(query, w[f"{prefix}.query_norm.gamma"], w[f"{prefix}.query_norm.beta"], eps)
                key = layer_norm(key, w[f"{prefix}.key_norm.gamma"], w[f"{prefix}.key_norm.beta"], eps)
            scores = query @ key.T * head_dim**-0.5
            if window is not None:
                scores = np.where(beyond_window(grid, tokens, window), -np.inf, scores)
            if f"{prefix}.relative_bias.table" in w:
                scores = scores + relative_bias(w[f"{prefix}.relative_bias.table"][head], grid, tokens)
            out[sample, :, head * head_dim : (head + 1) * head_dim] = softmax(scores) @ value
    return out @ w[f"{prefix}.out.weight"].T + w[f"{prefix}.out.bias"]


def beyond_window(grid, tokens, window):
    """Which key each query does not see: of two patches that are further apart than half a window."""
    rows, columns = grid
    place = np.arange(rows * columns)
    prefix, half = tokens - len(place), window // 2
    down, right = (np.abs(np.subtract.outer(at, at)) for at in (place // columns, place % columns))
    beyond = np.zeros((tokens, tokens), bool)
    beyond[prefix:, prefix:] = (down > half) | (right > half)
    return beyond


def relative_bias(table, grid, tokens):
    """One head's biases, a row for each query: of the two patches' difference in rows and columns, else 0."""
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
    """The convolution with that kernel and stride (None: the kernel's side), patch by patch, row by row."""
    width, _, patch, _ = kernel.shape
    rows, columns = grid_of(images, patch, stride)
    stride = stride or patch
    out = np.empty((len(images), rows * columns, width), images.dtype)
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            cut = images[:, :, top : top + patch, left : left + patch]
            out[:, row * columns + column] = np.tensordot(cut, kernel, ((1, 2, 3), (1, 2, 3))) + bias
    return out


def grid_of(images, patch, stride=None):
    """Rows and columns of patches."""
    return tuple(len(range(0, side - patch + 1, stride or patch)) for side in images.shape[2:])


def positions_of(w, kind, grid, width):
    """What is added to the patches, a row for each; a learned table's rows for other tokens come first."""
    rows, columns = grid
    places = [(row, column) for row in range(rows) for column in range(columns)]
    if kind == "learned":
        return w["pos_embedding"][0]
    if kind == "learned2d":
        return np.array([np.concatenate([w["pos_columns"][0, x], w["pos_rows"][0, y]]) for y, x in places])
    if kind == "sincos2d":
        turns = 10000.0 ** -np.linspace(0, 1, width // 4)
        return np.array([np.concatenate([f(at * turns) for at in (x, y) for f in (np.sin, np.cos)]) for y, x in places])
    return np.zeros((rows * columns, width))


def embed(images, w, stride=None, pos_embed="learned", prefix_pos_embed=True):
    """The first block's input: class token, distillation token and registers, then the patches."""
    kernel = w["patch_embedding.conv.weight"]
    x = patches(images, kernel, w["patch_embedding.conv.bias"], stride)
    table = positions_of(w, positions, grid_of(images, kernel.shape[2], stride), len(kernel))
    x = x + table[len(table) - x.shape[1] :]
    prefix = [w[name][0] for name in ("cls", "distillation") if name in w]
    if pos_embed == "learned" and prefix_pos_embed:
        prefix = [token + place for token, place in zip(prefix, table, strict=False)]
    prefix += [w["registers"][0]] if "registers" in w else []
    return np.concatenate([np.repeat(part[None], len(x), 0) for part in prefix] + [x], 1)


def encode(x, w, num_heads, eps=1e-7, gelu=gelu_tanh, grid=None, window_size=None):
    """All blocks."""
    depth = len({name.split(".")[2] for name in w if name.startswith("transformer.layers.")})
    for block in range(depth):
        for part in (0, 1):
            residual = f"transformer.layers.{block}.{part}"
            normed = layer_norm(x, w[f"{residual}.cell.0.gamma"], w[f"{residual}.cell.0.beta"], eps)
            branch = (
                attention(normed, w, f"{residual}.cell.1", num_heads, eps, grid, window)
                if part == 0
                else feed_forward(normed, w, f"{residual}.cell.1", gelu)
            )
            x = x + branch * w.get(f"{residual}.layer_scale", 1.0)
    return x


def attention_pool(x, w, num_heads, eps=1e-7, gelu=gelu_tanh, prefix="pool"):
    """MAP: one query's attention to all tokens, head by head, then a feed-forward around which there is a residual."""
    batch, _, width = x.shape
    query = w[f"{prefix}.probe"][0] @ w[f"{prefix}.query.weight"].T + w[f"{prefix}.query.bias"]
    both = x @ w[f"{prefix}.keys_and_values.weight"].T + w[f"{prefix}.keys_and_values.bias"]
    key, value = both[:, :, :width], both[:, :, width:]
    picked = np.zeros((batch, width))
    for sample in range(batch):
        for head in np.arange(width).reshape(num_heads, -1):
            odds = softmax(query[:, head] @ key[sample][:, head].T / math.sqrt(len(head)))
            picked[sample, head] = (odds @ value[sample][:, head])[0]
    picked = picked @ w[f"{prefix}.out.weight"].T + w[f"{prefix}.out.bias"]
    normed = layer_norm(picked, w[f"{prefix}.norm.gamma"], w[f"{prefix}.norm.beta"], eps)
    return picked + feed_forward(normed, w, f"{prefix}.feed_forward", gelu)


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
    """Logits; of a distilled network the mean of both heads', or the pair where ``both_heads`` asks for it."""
    grid = grid_of(images, w["patch_embedding.conv.weight"].shape[2], stride)
    x = embed(images, w, stride, positions, prefix_pos_embed)
    x = encode(x, w, num_heads, eps, gelu, grid, window)
    normed = layer_norm(x, w["norm.gamma"], w["norm.beta"], eps)
    of_patches = slice(x.shape[1] - grid[0] * grid[1], None)
    if pool == "mean_norm":
        features = layer_norm(x[:, of_patches].mean(1), w["norm.gamma"], w["norm.beta"], eps)
    elif pool == "mean":
        features = normed[:, of_patches].mean(1)
    elif pool == "map":
        features = attention_pool(normed, w, num_heads, eps, gelu)
    else:
        features = normed[:, 0]
    if "pre_logits.weight" in w:
        features = np.tanh(features @ w["pre_logits.weight"].T + w["pre_logits.bias"])
    logits = features @ w["dense.weight"].T + w["dense.bias"]
    if "distillation" not in w:
        return logits
    second = normed[:, 1] @ w["dense_distillation.weight"].T + w["dense_distillation.bias"]
    return (logits, second) if both_heads else (logits + second) / 2


def vit_of(images, w, config, **more):
    """``vit`` by the settings of a ``ViTConfig``."""
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
    """Weights of a spread that makes every part matter: norms near 1, the rest N(0, scale)."""
    weights = {}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape) * (0.1 if name.endswith(("gamma", "beta")) else scale)
        weights[name] = (values + name.endswith("gamma")).astype(np.float32)
    return weights

"""Makes training_curves.npz: 100 training steps of PyTorch, the reference for the training step of mindvit.

The script needs PyTorch, which mindvit does not depend on. Run it from the folder of the project, in a separate
environment:
    python -m tests.references.make_training_curves
The committed file was made by PyTorch 2.13.0 (CPU), NumPy 1.26.4 and scikit-learn 1.9.1 with Python 3.11 on x86-64.

A small pre-norm ViT is trained twice on scikit-learn's digits from the same weights, by AdamW and by SGD, in float32,
with clipping by the global norm, layer-wise learning-rate decay, warm-up and a cosine schedule. Arrays of the file:
    settings              JSON string with all settings
    indices               (100, 32) int32, indices of the digits in the batch of each step
    weights/<name>        initial weights, under mindvit's names; float32, as all arrays below except lr
    <run>/loss            (100,) of each batch, before the update; <run> is adamw or sgd
    <run>/grad_norm       (100,) before clipping
    <run>/lr              (100,) float64, of the head; that of layer i is layer_decay ** (depth + 1 - i) times as high
    <run>/final/<name>    weights after the last step

The part of qkv.bias for the key has no effect, because softmax is invariant to it. Its gradient is only rounding error,
which Adam normalizes: in adamw/final this part, the middle third, is noise (near 1e-3).
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from tests import numpy_vit

TARGET = Path(__file__).with_name("training_curves.npz")

MODEL = {
    "image_size": 8,
    "patch_size": 2,
    "in_channels": 3,
    "num_classes": 10,
    "embed_dim": 32,
    "depth": 3,
    "num_heads": 4,
    "mlp_dim": 64,
    "norm_eps": 1e-6,
    "gelu": "tanh",
}
SETTINGS = {
    "model": MODEL,
    # Standard deviations of the patch kernel, class token and position embeddings (tokens), of other matrices, and of
    # vectors; gamma is N(1, vector). Large tokens keep the gradient norm near clip_norm, on both sides of it.
    "initial": {"seed": 7, "tokens": 1.0, "matrix": 0.1, "vector": 0.1},
    "data": {"source": "sklearn.datasets.load_digits", "mean": 0.5, "std": 0.5, "white": 16.0},
    "batches": {"seed": 11, "steps": 100, "batch_size": 32},
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
    "clip_eps": 1e-6,
    "layer_decay": 0.75,
    "schedule": {"warmup_steps": 10, "warmup_lr": 0.0, "min_lr": 1e-5},
    "adamw": {"lr": 3e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.05},
    "sgd": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
}
RUNS = ("adamw", "sgd")

# Maximum relative difference of the float32 and float64 losses. With it, a test with tolerance 1e-3 is meaningful.
MAX_DRIFT = 2e-4


def parameter_shapes():
    width, hidden, patch = MODEL["embed_dim"], MODEL["mlp_dim"], MODEL["patch_size"]
    tokens = (MODEL["image_size"] // patch) ** 2 + 1
    shapes = {
        "cls": (1, 1, width),
        "pos_embedding": (1, tokens, width),
        "patch_embedding.conv.weight": (width, MODEL["in_channels"], patch, patch),
        "patch_embedding.conv.bias": (width,),
    }
    for block in range(MODEL["depth"]):
        for part, layers in enumerate(
            (
                {"qkv": (3 * width, width), "out": (width, width)},
                {"dense1": (hidden, width), "dense2": (width, hidden)},
            )
        ):
            prefix = f"transformer.layers.{block}.{part}.cell"
            shapes |= {f"{prefix}.0.gamma": (width,), f"{prefix}.0.beta": (width,)}
            for layer, shape in layers.items():
                shapes |= {f"{prefix}.1.{layer}.weight": shape, f"{prefix}.1.{layer}.bias": shape[:1]}
    classes = MODEL["num_classes"]
    return shapes | {
        "norm.gamma": (width,),
        "norm.beta": (width,),
        "dense.weight": (classes, width),
        "dense.bias": (classes,),
    }


def initial_weights():
    rng = np.random.default_rng(SETTINGS["initial"]["seed"])
    weights = {}
    for name, shape in parameter_shapes().items():
        kind = {1: "vector", 2: "matrix"}.get(len(shape), "tokens")
        scale = SETTINGS["initial"][kind]
        weights[name] = (rng.standard_normal(shape) * scale + name.endswith("gamma")).astype(np.float32)
    return weights


def load_data():
    """Normalized images (1797, 3, 8, 8), float32, and labels (1797,)."""
    digits, data = load_digits(), SETTINGS["data"]
    images = ((digits.images / data["white"] - data["mean"]) / data["std"]).astype(np.float32)
    return np.repeat(images[:, None], MODEL["in_channels"], 1), digits.target


def attention(x, w, prefix):
    batch, tokens, width = x.shape
    qkv = functional.linear(x, w[f"{prefix}.qkv.weight"], w[f"{prefix}.qkv.bias"])
    heads = (batch, tokens, 3, MODEL["num_heads"], width // MODEL["num_heads"])
    query, key, value = qkv.reshape(heads).permute(2, 0, 3, 1, 4)
    weights = torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(heads[-1]), dim=-1)
    out = (weights @ value).transpose(1, 2).reshape(x.shape)
    return functional.linear(out, w[f"{prefix}.out.weight"], w[f"{prefix}.out.bias"])


def feed_forward(x, w, prefix):
    x = functional.linear(x, w[f"{prefix}.dense1.weight"], w[f"{prefix}.dense1.bias"])
    x = functional.gelu(x, approximate=MODEL["gelu"])
    return functional.linear(x, w[f"{prefix}.dense2.weight"], w[f"{prefix}.dense2.bias"])


def vit(images, w):
    """Logits (batch, num_classes) of images (batch, in_channels, image_size, image_size)."""

    def norm(x, prefix):
        gamma, beta = w[f"{prefix}.gamma"], w[f"{prefix}.beta"]
        return functional.layer_norm(x, gamma.shape, gamma, beta, MODEL["norm_eps"])

    kernel, bias = w["patch_embedding.conv.weight"], w["patch_embedding.conv.bias"]
    x = functional.conv2d(images, kernel, bias, stride=MODEL["patch_size"]).flatten(2).transpose(1, 2)
    x = torch.cat([w["cls"].expand(len(x), -1, -1), x], 1) + w["pos_embedding"]
    for block in range(MODEL["depth"]):
        prefix = f"transformer.layers.{block}"
        x = x + attention(norm(x, f"{prefix}.0.cell.0"), w, f"{prefix}.0.cell.1")
        x = x + feed_forward(norm(x, f"{prefix}.1.cell.0"), w, f"{prefix}.1.cell.1")
    return functional.linear(norm(x, "norm")[:, 0], w["dense.weight"], w["dense.bias"])


def smooth_cross_entropy(logits, labels):
    smoothing, classes = SETTINGS["label_smoothing"], MODEL["num_classes"]
    targets = torch.full_like(logits, smoothing / (classes - 1))
    targets[torch.arange(len(labels)), labels] = 1 - smoothing
    return -(targets * functional.log_softmax(logits, dim=-1)).sum(-1).mean()


def learning_rate(step, peak):
    schedule, steps = SETTINGS["schedule"], SETTINGS["batches"]["steps"]
    start, floor, warmup = schedule["warmup_lr"], schedule["min_lr"], schedule["warmup_steps"]
    if step < warmup:
        return start + (peak - start) * step / warmup
    return floor + (peak - floor) * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def layer_id(name):
    if name.startswith("transformer.layers."):
        return int(name.split(".")[2]) + 1
    return MODEL["depth"] + 1 if name.startswith(("norm.", "dense.")) else 0


def make_optimizer(run, w):
    """Makes an optimizer with one group for each weight; ``lr_scale`` is its factor of the learning rate."""
    settings = dict(SETTINGS[run])
    weight_decay = settings.pop("weight_decay")
    groups = [
        {
            "params": [weight],
            "lr_scale": SETTINGS["layer_decay"] ** (MODEL["depth"] + 1 - layer_id(name)),
            "weight_decay": weight_decay if name.endswith(".weight") and weight.ndim > 1 else 0.0,
        }
        for name, weight in w.items()
    ]
    return {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[run](groups, **settings)


def train(run, initial, indices, dtype):
    """Trains from the initial weights. Returns loss, grad_norm and lr of each step, and the final weights."""
    images, labels = map(torch.from_numpy, load_data())
    w = {name: torch.from_numpy(value).to(dtype, copy=True).requires_grad_() for name, value in initial.items()}
    optimizer = make_optimizer(run, w)
    curves = {"loss": [], "grad_norm": [], "lr": []}
    for step, batch in enumerate(torch.from_numpy(indices).long()):
        lr = learning_rate(step, SETTINGS[run]["lr"])
        for group in optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        optimizer.zero_grad()
        loss = smooth_cross_entropy(vit(images[batch].to(dtype), w), labels[batch])
        loss.backward()
        # The formula of PyTorch: gradients times min(1, clip_norm / (norm + 1e-6)).
        norm = torch.nn.utils.clip_grad_norm_(w.values(), SETTINGS["clip_norm"])
        optimizer.step()
        for name, value in (("loss", loss.item()), ("grad_norm", norm.item()), ("lr", lr)):
            curves[name].append(value)
    arrays = {name: np.array(values, np.float64 if name == "lr" else np.float32) for name, values in curves.items()}
    return arrays | {f"final/{name}": weight.detach().float().numpy() for name, weight in w.items()}


def check_logits(weights, images):
    with torch.no_grad():
        ours = vit(torch.from_numpy(images), {name: torch.from_numpy(value) for name, value in weights.items()}).numpy()
    wide = {name: value.astype(np.float64) for name, value in weights.items()}
    theirs = numpy_vit.vit(images.astype(np.float64), wide, MODEL["num_heads"], eps=MODEL["norm_eps"])
    difference = np.abs(ours - theirs).max()
    print(f"initial logits: maximum {np.abs(theirs).max():.2f}, difference from tests/numpy_vit.py {difference:.1e}")
    if difference > 1e-5:
        raise SystemExit("the network differs from tests/numpy_vit.py")


def check_run(run, arrays, exact):
    loss, norm = arrays["loss"], arrays["grad_norm"]
    clipped = int((norm > SETTINGS["clip_norm"]).sum())
    drift = np.abs(loss / exact["loss"] - 1).max()
    norm_drift = np.abs(norm / exact["grad_norm"] - 1).max()
    print(f"{run}: loss " + ", ".join(f"{loss[step]:.4f} (step {step})" for step in (0, 10, 50, 99)))
    print(f"{run}: gradient norm {norm.min():.3f} to {norm.max():.3f}, {clipped} steps of {len(norm)} clipped")
    print(f"{run}: maximum relative error of float32: loss {drift:.1e}, gradient norm {norm_drift:.1e}")
    if drift > MAX_DRIFT:
        raise SystemExit(f"{run}: rounding changes the loss by more than {MAX_DRIFT}; choose a lower learning rate")
    if not 0.1 < clipped / len(norm) < 0.9:
        raise SystemExit(f"{run}: clipping must be active in some steps and inactive in others")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    weights, (images, _) = initial_weights(), load_data()
    batches = SETTINGS["batches"]
    rng = np.random.default_rng(batches["seed"])
    indices = rng.integers(len(images), size=(batches["steps"], batches["batch_size"])).astype(np.int32)
    check_logits(weights, images[indices[0]])
    arrays = {"settings": np.array(json.dumps(SETTINGS)), "indices": indices}
    arrays |= {f"weights/{name}": value for name, value in weights.items()}
    for run in RUNS:
        curves = train(run, weights, indices, torch.float32)
        check_run(run, curves, train(run, weights, indices, torch.float64))
        arrays |= {f"{run}/{name}": values for name, values in curves.items()}
    np.savez_compressed(TARGET, **arrays)
    print(f"{TARGET.name}: {len(arrays)} arrays, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()

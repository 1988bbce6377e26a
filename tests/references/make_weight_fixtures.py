"""Makes the files in weights/ that are from PyTorch libraries: weights and logits of tiny models.

The script needs PyTorch, timm, torchvision and Transformers, which mindvit does not depend on. Run it from the folder
of the project, in a separate environment:
    python -m tests.references.make_weight_fixtures
The committed files were made by PyTorch 2.13.0 (CPU), timm 1.0.31, torchvision 0.28.0 and Transformers 5.23.0.
make_mindcv_fixture.py makes the file of MindCV.

All arrays are float32: <model>/weights/<name in the library> and <model>/logits, (2, 7), for the images of
tests.weights.published.random_images. logits_48x48 and logits_32x48 are those at other image sizes, with position
embeddings resized by the library. timm.npz also has the names of timm's models (models).
"""

import json

import numpy as np
import timm
import torch
import torchvision
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch.nn.functional import interpolate
from transformers import (
    DeiTConfig,
    DeiTForImageClassificationWithTeacher,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

from tests.weights.published import (
    CLASSES,
    DEPTH,
    FOLDER,
    HEADS,
    HIDDEN,
    IMAGE,
    PATCH,
    WIDTH,
    pack,
    random_images,
    random_weights,
)

TIMM_SIZES = {
    "img_size": IMAGE,
    "patch_size": PATCH,
    "embed_dim": WIDTH,
    "depth": DEPTH,
    "num_heads": HEADS,
    "mlp_ratio": HIDDEN / WIDTH,
    "num_classes": CLASSES,
}
TIMM = {
    "vit": (VisionTransformer, {}),
    "reg4_gap": (
        VisionTransformer,
        {"class_token": False, "no_embed_class": True, "global_pool": "avg", "reg_tokens": 4},
    ),
    "gap": (VisionTransformer, {"class_token": False, "global_pool": "avg", "fc_norm": False}),
    "deit3": (VisionTransformer, {"no_embed_class": True, "init_values": 1e-4}),
    "distilled": (VisionTransformerDistilled, {}),
    "siglip": (VisionTransformer, {"class_token": False, "global_pool": "map"}),
    "qk_norm": (VisionTransformer, {"qk_norm": True}),
}
_GAMMAS = ("norm", "norm1", "norm2", "fc_norm", "q_norm", "k_norm", "ln", "ln_1", "ln_2", "layernorm")


def kind_of(name, values):
    *_, parent, leaf = ("", *name.split("."))
    if leaf in ("gamma", "gamma_1", "gamma_2"):
        return "layer_scale"
    if leaf == "weight" and (parent in _GAMMAS or "layernorm" in parent):
        return "gamma"
    if values.ndim == 4:
        return "patches"
    if values.ndim == 3 or "token" in name:
        return "matrix" if "latent" in name else "table"
    # The bias of the patch projection is as small as the projection.
    if values.ndim == 1:
        return "table" if parent in ("proj", "projection", "conv_proj") and "block" not in name else "vector"
    return "matrix"


def randomize(model, seed):
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = random_weights(kind_of(name, parameter), tuple(parameter.shape), rng)
            parameter.copy_(torch.from_numpy(values))
    return model.eval()


def logits(model, height=IMAGE, width=IMAGE):
    with torch.no_grad():
        found = model(torch.from_numpy(random_images(height, width)))
    return getattr(found, "logits", found).numpy()


def weights(model, tag):
    return {f"{tag}/weights/{name}": values.numpy() for name, values in model.state_dict().items()}


def make_timm():
    arrays = {"models": np.array([name for name in timm.list_models() if name.startswith(("vit_", "deit"))])}
    for seed, (tag, (kind, special)) in enumerate(TIMM.items()):
        model = randomize(kind(**TIMM_SIZES, **special), seed)
        arrays |= weights(model, tag) | {f"{tag}/logits": logits(model)}
        if tag not in ("vit", "deit3"):
            continue
        for height, width in ((48, 48), (32, 48), (16, 16)):
            other = kind(**TIMM_SIZES | {"img_size": (height, width)}, **special)
            other.load_state_dict(checkpoint_filter_fn(dict(model.state_dict()), other))
            arrays[f"{tag}/logits_{height}x{width}"] = logits(other.eval(), height, width)
        if tag == "deit3":
            names = {name: name.replace("ls1.gamma", "gamma_1") for name in model.state_dict()}
            names = {name: renamed.replace("ls2.gamma", "gamma_2") for name, renamed in names.items()}
            official = {names[name]: values for name, values in model.state_dict().items()}
            torch.save({"model": official}, FOLDER / "deit3.pth")
    print(pack("timm", arrays))


def make_huggingface():
    sizes = {
        "image_size": IMAGE,
        "patch_size": PATCH,
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "intermediate_size": HIDDEN,
    }
    names = {index: f"name of {index}" for index in range(CLASSES)}
    names = {"id2label": names, "label2id": {name: index for index, name in names.items()}}
    arrays = {}
    for tag, model in (
        ("vit", ViTForImageClassification(ViTConfig(**sizes, **names))),
        ("deit", DeiTForImageClassificationWithTeacher(DeiTConfig(**sizes, num_labels=CLASSES))),
    ):
        randomize(model, 20 + len(tag))
        model.save_pretrained(FOLDER / f"huggingface_{tag}")
        arrays |= weights(model, tag) | {f"{tag}/logits": logits(model)}
    ViTImageProcessor(size={"height": IMAGE, "width": IMAGE}).save_pretrained(FOLDER / "huggingface_vit")
    print(pack("huggingface", arrays))


def make_torchvision():
    model = torchvision.models.VisionTransformer(IMAGE, PATCH, DEPTH, HEADS, WIDTH, HIDDEN, num_classes=CLASSES)
    arrays = weights(randomize(model, 30), "vit") | {"vit/logits": logits(model)}
    hidden = {"num_classes": CLASSES, "representation_size": 16}
    model = torchvision.models.VisionTransformer(IMAGE, PATCH, DEPTH, HEADS, WIDTH, HIDDEN, **hidden)
    arrays |= weights(randomize(model, 31), "pre_logits") | {"pre_logits/logits": logits(model)}
    print(pack("torchvision", arrays))


def google_weights(seed, *, big_vision=False, scanned=False, head="cls"):
    """Weights of a ViT with the names and shapes of Google's JAX code."""
    rng = np.random.default_rng(seed)
    per_head = WIDTH // HEADS
    found = {}

    def put(name, kind, *shape, fan_in=None):
        found[name] = random_weights(kind, shape, rng, fan_in or shape[0])

    def norm(name):
        put(f"{name}/scale", "gamma", WIDTH)
        put(f"{name}/bias", "vector", WIDTH)

    def attention(name):
        for part in ("query", "key", "value"):
            put(f"{name}/{part}/kernel", "matrix", WIDTH, HEADS, per_head)
            put(f"{name}/{part}/bias", "vector", HEADS, per_head)
        put(f"{name}/out/kernel", "matrix", HEADS, per_head, WIDTH, fan_in=WIDTH)
        put(f"{name}/out/bias", "vector", WIDTH)

    def mlp(name):
        for index, (inputs, outputs) in enumerate(((WIDTH, HIDDEN), (HIDDEN, WIDTH))):
            put(f"{name}/Dense_{index}/kernel", "matrix", inputs, outputs)
            put(f"{name}/Dense_{index}/bias", "vector", outputs)

    put("embedding/kernel", "patches", PATCH, PATCH, 3, WIDTH, fan_in=3 * PATCH**2)
    put("embedding/bias", "table", WIDTH)
    rows = (IMAGE // PATCH) ** 2
    if head == "cls":
        put("cls", "table", 1, 1, WIDTH)
        rows += 1
    put("pos_embedding" if big_vision else "Transformer/posembed_input/pos_embedding", "table", 1, rows, WIDTH)
    for block in range(DEPTH):
        name = f"Transformer/encoderblock_{block}"
        norm(f"{name}/LayerNorm_0")
        norm(f"{name}/LayerNorm_{1 if big_vision else 2}")
        attention(f"{name}/MultiHeadDotProductAttention_{0 if big_vision else 1}")
        mlp(f"{name}/MlpBlock_{0 if big_vision else 3}")
    if scanned:
        blocks = [{name: found.pop(name) for name in list(found) if f"block_{i}/" in name} for i in range(DEPTH)]
        for names in zip(*blocks, strict=True):
            stacked = np.stack([block[name] for block, name in zip(blocks, names, strict=True)])
            found[names[0].replace("encoderblock_0", "encoderblock")] = stacked
    norm("Transformer/encoder_norm")
    if head == "map":
        put("MAPHead_0/probe", "matrix", 1, 1, WIDTH)
        attention("MAPHead_0/MultiHeadDotProductAttention_0")
        norm("MAPHead_0/LayerNorm_0")
        mlp("MAPHead_0/MlpBlock_0")
    put("head/kernel", "matrix", WIDTH, CLASSES)
    put("head/bias", "vector", CLASSES)
    return {f"params/{name}": values for name, values in found.items()} if big_vision else found


def make_google():
    arrays = {}
    for tag, settings, special in (
        ("original", {}, {}),
        ("big_vision", {"big_vision": True, "scanned": True}, {}),
        ("map", {"big_vision": True, "head": "map"}, {"class_token": False, "global_pool": "map"}),
    ):
        made = google_weights(40 + len(arrays), **settings)
        path = FOLDER / "google_being_read.npz"
        np.savez(path, **made)
        model = VisionTransformer(**TIMM_SIZES, act_layer="gelu_tanh", **special)
        model.load_pretrained(str(path))
        path.unlink()
        arrays |= {f"{tag}/weights/{name}": values for name, values in made.items()}
        arrays[f"{tag}/logits"] = logits(model.eval())
    print(pack("google", arrays))


def make_resized():
    """Resizes a grid by PyTorch's antialiased bicubic filter, as timm does."""
    grid = np.random.default_rng(50).standard_normal((5, 4, 3)).astype(np.float32)
    arrays = {"grid": grid}
    for rows, columns in ((9, 11), (3, 2), (7, 2), (1, 1), (5, 6)):
        found = interpolate(
            torch.from_numpy(grid).permute(2, 0, 1)[None], (rows, columns), mode="bicubic", antialias=True
        )
        arrays[f"{rows}x{columns}"] = found[0].permute(1, 2, 0).numpy()
    print(pack("resized", arrays))


def main():
    FOLDER.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(json.dumps({"torch": torch.__version__, "timm": timm.__version__, "torchvision": torchvision.__version__}))
    make_timm()
    make_huggingface()
    make_torchvision()
    make_google()
    make_resized()


if __name__ == "__main__":
    main()

"""What can be compared: this project, MindSpore's own cells, PyTorch and onnxruntime."""

import importlib.util
from dataclasses import dataclass, fields
from typing import Any, Literal

from mindvit.benchmark.worker_process import Framework
from mindvit.data.settings import AugmentSettings
from mindvit.errors import UserError
from mindvit.models.vit_config import ViTConfig
from mindvit.training.recipe import Recipe

Peer = Literal["stock", "torch", "onnx"]
Task = Literal["forward", "train", "data", "run", "inference", "gelu", "local_attention", "optimizer"]
OperatorName = Literal["gelu", "local_attention", "optimizer"]

OWN = "mindvit"
"""The contestant that all others are compared with."""
_CONTESTANTS = {"stock": ("stock",), "torch": ("torch_eager", "torch_compile"), "onnx": ("onnxruntime",)}
_PARTS = {
    "run": (OWN, "step", "pipeline"),
    "inference": (OWN, "network"),
    "gelu": ("tanh", "exact", "nn.GELU exact", "nn.GELU tanh"),
    "local_attention": ("local", "full"),
    "optimizer": ("adamw", "adam", "sgd", "lamb", "nn.Adam", "nn.AdamWeightDecay"),
}
"""What a task measures of MindSpore and of this project; the first is what the others are compared with."""
_PACKAGES = {"torch": ("torch", "timm", "torchvision"), "onnx": ("onnx", "onnxruntime")}
_INSTALL = {"torch": "pip install torch timm torchvision", "onnx": 'pip install "mindvit[export]"'}
_PLAIN = {
    "stem": None,
    "patch_stride": None,
    "window_size": None,
    "pos_embed": "learned",
    "prefix_pos_embed": True,
    "distilled": False,
    "pre_logits_dim": None,
    "block_dropout": 0.0,
}
"""Settings of a network that timm's ``VisionTransformer`` has too."""
_PLAINER = {
    "pool": "cls",
    "register_tokens": 0,
    "layer_scale": None,
    "qk_norm": False,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "drop_path": 0.0,
    "patch_dropout": 0.0,
}
"""Settings of the network of MindSpore's tutorial, beside ``_PLAIN``."""


@dataclass(frozen=True)
class Contestant:
    """Something that is measured."""

    name: str
    """mindvit, stock, torch_eager, torch_compile, torchvision or onnxruntime; or a part of the task."""
    framework: Framework
    """What it is computed with."""


def contestants(task: Task, compare: tuple[Peer, ...]) -> list[Contestant]:
    """The contestants of a task: this project first."""
    libraries: dict[str, Framework] = {"stock": "mindspore", "torch": "torch", "onnx": "onnxruntime"}
    names = {**_CONTESTANTS, "torch": ("torchvision",)} if task == "data" else _CONTESTANTS
    others = [Contestant(name, libraries[peer]) for peer in dict.fromkeys(compare) for name in names[peer]]
    return [*(Contestant(name, "mindspore") for name in _PARTS.get(task, (OWN,))), *others]


def check_installed(compare: tuple[Peer, ...], torch_python: str | None) -> None:
    """Checks that what is compared with is installed.

    Raises:
        UserError: naming what is missing, and how to install it.
    """
    for peer in compare:
        if peer == "torch" and torch_python is not None:
            continue  # Another interpreter; its process says what is missing.
        missing = [name for name in _PACKAGES.get(peer, ()) if importlib.util.find_spec(name) is None]
        if missing:
            other = ", or name another interpreter that has them with --torch_python" if peer == "torch" else ""
            raise UserError(f"--compare {peer} needs {' and '.join(missing)}: {_INSTALL[peer]}{other}")


def check_comparable(task: Task, compare: tuple[Peer, ...], config: ViTConfig, recipe: Recipe) -> None:
    """Checks that the others can do the same work.

    Raises:
        UserError: naming the setting that they do not have.
    """
    if "onnx" in compare and task != "forward":
        raise UserError("--compare onnx is for the forward pass; an ONNX file neither reads data nor trains")
    if "stock" in compare and task == "run":
        raise UserError("--compare stock is not for a whole run; compare its parts with benchmark data and train")
    if ("torch" in compare or "onnx" in compare) and recipe.runtime.amp_level not in ("auto", "O0"):
        raise UserError(
            f"--compare torch and onnx compute in float32, but runtime.amp_level is {recipe.runtime.amp_level}"
        )
    if not {"torch", "stock"} & set(compare):
        return
    if task != "data":
        peer = "torch" if "torch" in compare else "stock"
        _check_network(peer, config, _PLAIN | ({"drop_path_mode": "linear"} if config.drop_path else {}))
        if "stock" in compare:
            _check_network("stock", config, _PLAINER)
    if task in ("train", "run"):
        _check_step(recipe)
    if task in ("data", "run"):
        _check_data(recipe)


def _check_step(recipe: Recipe) -> None:
    optimizer, augment, loss = recipe.optimizer, recipe.augment, recipe.loss
    _refuse(
        "the training steps of --compare have AdamW and cross-entropy alone",
        {
            "optimizer.name": optimizer.name != "adamw",
            "optimizer.layer_decay": optimizer.layer_decay != 1,
            "optimizer.linear_probing": optimizer.linear_probing,
            "optimizer.rules": bool(optimizer.rules),
            "distill.teacher": recipe.distill.teacher is not None,
            "augment.mixup": bool(augment.mixup),
            "augment.cutmix": bool(augment.cutmix),
            "loss.name": loss.name != "cross_entropy",
            "loss.class_weights": loss.class_weights is not None,
            "loss.focal_gamma": loss.focal_gamma != 0,
        },
    )


def _check_data(recipe: Recipe) -> None:
    plain, shared = AugmentSettings(), ("crop_scale", "crop_ratio", "flip")
    changed = {
        f"augment.{item.name}": getattr(recipe.augment, item.name) != getattr(plain, item.name)
        for item in fields(plain)
        if item.name not in shared
    }
    data = recipe.data
    others = ("labels", "val_fraction", "classes", "samples_per_class")
    changed |= {f"data.{name}": getattr(data, name) is not None for name in others}
    changed |= {"data.source": data.source != "folder", "data.balanced_sampling": data.balanced_sampling}
    _refuse("the pipelines of --compare read an image folder, and have random crops and flips alone", changed)


def _refuse(reason: str, obstacles: dict[str, bool]) -> None:
    for name, is_set in obstacles.items():
        if is_set:
            raise UserError(f"{reason}, but {name} is set; leave out --compare, or set {name} to its default")


def torch_data(recipe: Recipe, config: ViTConfig) -> dict[str, Any]:
    """The settings of torchvision's pipeline for the same recipe."""
    preprocessing, augment = config.preprocessing, recipe.augment
    return {
        "crop_scale": list(augment.crop_scale),
        "crop_ratio": list(augment.crop_ratio),
        "flip": augment.flip is not False,
        "interpolation": preprocessing.interpolation,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "num_workers": recipe.data.num_workers,
    }


def timm_arguments(config: ViTConfig) -> dict[str, Any]:
    """Arguments of timm's ``VisionTransformer`` for the same network; ``norm_eps`` and ``gelu`` name its layers."""
    pools = {"cls": ("token", False), "mean": ("avg", False), "mean_norm": ("avg", True), "map": ("map", False)}
    pool, norm_after_pool = pools[config.pool]
    return {
        "img_size": list(config.image_shape),
        "patch_size": config.patch_size,
        "in_chans": config.in_channels,
        "num_classes": config.num_classes,
        "embed_dim": config.embed_dim,
        "depth": config.depth,
        "num_heads": config.num_heads,
        "mlp_ratio": config.mlp_dim / config.embed_dim,
        "class_token": config.has_class_token,
        "reg_tokens": config.register_tokens,
        "global_pool": pool,
        "fc_norm": norm_after_pool,
        "init_values": config.layer_scale,
        "qk_norm": config.qk_norm,
        "drop_rate": config.dropout,
        "pos_drop_rate": config.dropout,
        "proj_drop_rate": config.dropout,
        "attn_drop_rate": config.attention_dropout,
        "patch_drop_rate": config.patch_dropout,
        "drop_path_rate": config.drop_path,
        "norm_eps": config.norm_eps,
        "gelu": config.gelu,
    }


def torch_step(recipe: Recipe) -> dict[str, Any]:
    """The settings of PyTorch's training step for the same recipe."""
    optimizer = recipe.optimizer
    return {
        "lr": optimizer.lr,
        "betas": list(optimizer.betas),
        "eps": optimizer.eps,
        "weight_decay": optimizer.weight_decay,
        "clip_norm": optimizer.clip_norm,
        "label_smoothing": recipe.loss.label_smoothing,
        "accumulate_steps": recipe.train.accumulate_steps,
        "recompute": recipe.train.recompute,
        "ema_decay": recipe.ema.decay,
    }


def _check_network(peer: str, config: ViTConfig, plain: dict[str, Any]) -> None:
    for name, value in plain.items():
        if getattr(config, name) != value:
            raise UserError(
                f"--compare {peer} has no network with model.{name} {getattr(config, name)}; leave it out, or choose "
                "a plain model such as vit_b_16_224"
            )

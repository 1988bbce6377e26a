"""What is measured with PyTorch, timm and torchvision. It imports nothing of MindSpore."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import library, nn

try:
    import timm
except RuntimeError:
    # A torchvision whose compiled operators do not fit the build of PyTorch. timm imports it, and nothing is computed
    # with them here, so declaring them is enough.
    _operators = library.Library("torchvision", "DEF")
    _operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm
import torchvision
from timm.models.vision_transformer import VisionTransformer
from torchvision.transforms import v2 as transforms

Step = Callable[[torch.Tensor, torch.Tensor], None]


class TorchTask:
    """A step of PyTorch on a batch of random images.

    Args:
        compute: the step.
        network: its network.
        job: see ``make_task``.
    """

    def __init__(self, compute: Step, network: nn.Module, job: dict[str, Any]) -> None:
        self.compute = compute
        shape, rng = job["input_shape"], np.random.default_rng(0)
        self.batch = (
            torch.from_numpy(rng.standard_normal(shape).astype(np.float32)),
            torch.from_numpy(rng.integers(0, job["network"]["num_classes"], shape[0])),
        )
        self.images = shape[0]
        self.facts = _facts() | {"parameters": sum(one.numel() for one in network.parameters())}

    def step(self) -> None:
        """Computes once. On a CPU nothing is left to wait for."""
        self.compute(*self.batch)


class TorchPipelineTask:
    """torchvision's ``ImageFolder`` and transforms behind a ``DataLoader``, alone or in front of the training step.

    Args:
        compute: the training step; None: nothing takes the batches.
        job: see ``make_task``.
    """

    def __init__(self, compute: Step | None, job: dict[str, Any]) -> None:
        self.compute = compute
        data = job["data"]
        operations = [
            transforms.RandomResizedCrop(
                job["input_shape"][2:],
                data["crop_scale"],
                data["crop_ratio"],
                transforms.InterpolationMode(data["interpolation"]),
            ),
            *([transforms.RandomHorizontalFlip()] if data["flip"] else []),
            transforms.PILToTensor(),
            transforms.ToDtype(torch.float32, scale=True),
            transforms.Normalize(data["mean"], data["std"]),
        ]
        folder = torchvision.datasets.ImageFolder(job["folder"], transforms.Compose(operations))
        batch = job["input_shape"][0]
        self.batches = -(-job["pass_images"] // batch)
        self.images = self.batches * batch
        self.loader = torch.utils.data.DataLoader(
            folder, batch, shuffle=True, num_workers=data["num_workers"], drop_last=True
        )
        self.facts = _facts()
        self.facts["versions"]["torchvision"] = torchvision.__version__

    def step(self) -> float:
        """Seconds of a pass, without its first batch."""
        batches = self._endless()
        self._use(next(batches))
        started = time.perf_counter()
        for _ in range(self.batches):
            self._use(next(batches))
        return time.perf_counter() - started

    def _endless(self) -> Iterator[list[torch.Tensor]]:
        while True:
            yield from self.loader

    def _use(self, batch: list[torch.Tensor]) -> None:
        if self.compute is not None:
            self.compute(*batch)


def make_task(job: dict[str, Any]) -> TorchTask | TorchPipelineTask:
    """Makes the task of a job.

    Args:
        job: ``task``: forward, train, data or run; ``contestant``: torch_eager or torch_compile, of the pipeline alone
            torchvision; ``threads``; ``network``: the arguments of timm's ``VisionTransformer``, with ``norm_eps`` and
            ``gelu`` in place of its layers; ``input_shape`` of a batch. To train also ``train``: lr, betas, eps,
            weight_decay, clip_norm, label_smoothing, accumulate_steps, recompute and ema_decay. With data also
            ``folder`` of the training images, ``pass_images`` of a step, and ``data``: crop_scale, crop_ratio,
            interpolation, flip, mean, std and num_workers.
    """
    torch.manual_seed(0)
    torch.set_num_threads(job["threads"])
    if job["task"] == "data":
        return TorchPipelineTask(None, job)
    network = _network(job)
    compute = _forward(network, job) if job["task"] == "forward" else _train(network, job)
    return TorchPipelineTask(compute, job) if job["task"] == "run" else TorchTask(compute, network, job)


def _facts() -> dict[str, Any]:
    versions = {"torch": torch.__version__, "timm": timm.__version__}
    return {"versions": versions, "threads": torch.get_num_threads()}


def _network(job: dict[str, Any]) -> nn.Module:
    arguments = dict(job["network"])
    epsilon, gelu = arguments.pop("norm_eps"), arguments.pop("gelu")
    return VisionTransformer(
        **arguments,
        norm_layer=lambda width, **others: nn.LayerNorm(width, **{**others, "eps": epsilon}),
        act_layer=(lambda: nn.GELU(approximate="tanh")) if gelu == "tanh" else nn.GELU,
    )


def _forward(network: nn.Module, job: dict[str, Any]) -> Step:
    network.eval()
    computed = torch.compile(network) if job["contestant"] == "torch_compile" else network

    def compute(images: torch.Tensor, labels: torch.Tensor) -> None:
        with torch.inference_mode():
            computed(images)

    return compute


def _train(network: nn.Module, job: dict[str, Any]) -> Step:
    settings = job["train"]
    network.train()
    network.set_grad_checkpointing(settings["recompute"])
    # One group for what has weight decay, one for the rest, as in timm.
    parameters = list(network.parameters())
    groups = [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": settings["weight_decay"]},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, settings["lr"], settings["betas"], settings["eps"])
    loss_of = nn.CrossEntropyLoss(label_smoothing=settings["label_smoothing"])
    average = None
    if settings["ema_decay"] is not None:
        decay = torch.optim.swa_utils.get_ema_multi_avg_fn(settings["ema_decay"])
        average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=decay)
    computed = torch.compile(network) if job["contestant"] == "torch_compile" else network
    parts = settings["accumulate_steps"]

    def compute(images: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        for part, targets in zip(images.chunk(parts), labels.chunk(parts), strict=True):
            loss = loss_of(computed(part), targets) / parts
            loss.backward()
        if settings["clip_norm"] is not None:
            nn.utils.clip_grad_norm_(parameters, settings["clip_norm"])
        optimizer.step()
        if average is not None:
            average.update_parameters(network)
        loss.item()

    return compute

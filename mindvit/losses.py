"""Losses for classification."""

from dataclasses import dataclass
from typing import Literal

import mindspore as ms
from mindspore import nn, ops

from mindvit.models.setting_checks import check_values

Smoothing = Literal["others", "all"]


@dataclass(frozen=True)
class LossSettings:
    """Training loss."""

    name: Literal["cross_entropy", "bce"] = "cross_entropy"
    """cross_entropy: softmax cross-entropy. bce: binary cross-entropy, one binary decision per class."""
    label_smoothing: float = 0.1
    """Label smoothing: target weight taken from the true class, which smoothing spreads. 0 disables it."""
    target_threshold: float | None = None
    """bce: targets of mixed images above this value become 1, others 0. null keeps the soft targets."""
    smoothing: Smoothing = "others"
    """Classes that label smoothing spreads over. others: all but the true class, as in MindSpore's tutorial; all: also
    the true class, as in timm and PyTorch."""

    def __post_init__(self) -> None:
        check_values(self, "loss.")
        if self.target_threshold is not None and (self.name != "bce" or not 0 <= self.target_threshold < 1):
            raise ValueError("loss.target_threshold needs loss.name bce and a value in [0, 1)")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"loss.label_smoothing must lie in [0, 1), not {self.label_smoothing}")


class _SmoothedLoss(nn.LossBase):
    """Base class of losses with label smoothing. Computes the smoothed targets, float32 (batch, num_classes)."""

    def __init__(
        self,
        num_classes: int,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        smoothing: Smoothing = "others",
    ) -> None:
        super().__init__(reduction)
        if num_classes < 2:
            raise ValueError(f"classification needs at least 2 classes, not {num_classes}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must lie in [0, 1), not {label_smoothing}")
        self.num_classes = num_classes
        if smoothing == "all":
            self.off_value = label_smoothing / num_classes
            self.on_value = 1.0 - label_smoothing + self.off_value
        else:
            self.off_value = label_smoothing / (num_classes - 1)
            self.on_value = 1.0 - label_smoothing

    def _targets(self, labels):
        if labels.ndim == 1:
            labels = ops.one_hot(labels.astype(ms.int32), self.num_classes, 1.0, 0.0)
        return labels.astype(ms.float32) * (self.on_value - self.off_value) + self.off_value


class CrossEntropySmooth(_SmoothedLoss):
    """Softmax cross-entropy with label smoothing.

    Each class has the target ``t``, 1 for the true class and 0 for the others, or between them for dense targets. With
    ``s`` for ``label_smoothing`` and ``K`` classes, ``t`` becomes

    - ``t (1 - s) + (1 - t) s / (K - 1)`` with smoothing ``"others"``: the true class keeps ``1 - s``, as in MindSpore's
      ViT tutorial;
    - ``t (1 - s) + s / K`` with smoothing ``"all"``: the true class gets its share of ``s`` too (Szegedy et al., 2016),
      as in timm, DeiT, PyTorch's ``CrossEntropyLoss`` and the targets of timm's Mixup.

    Args:
        num_classes: K, at least 2.
        label_smoothing: ``s``, in [0, 1).
        reduction: ``"mean"`` over the batch, ``"sum"``, or ``"none"`` for one value per sample.
        smoothing: ``"others"`` or ``"all"``.

    Inputs: logits (batch, num_classes); labels, integers (batch,) or probabilities (batch, num_classes).

    Raises:
        ValueError: for fewer than 2 classes or a smoothing outside [0, 1).
    """

    def __init__(
        self,
        num_classes: int,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        smoothing: Smoothing = "others",
    ) -> None:
        super().__init__(num_classes, label_smoothing, reduction, smoothing)
        self.cross_entropy = nn.SoftmaxCrossEntropyWithLogits(reduction="none")

    def construct(self, logits, labels):
        return self.get_loss(self.cross_entropy(logits.astype(ms.float32), self._targets(labels)))


class BinaryCrossEntropySmooth(_SmoothedLoss):
    """Binary cross-entropy of each class, averaged over the classes (Wightman et al., 2021; DeiT III).

    The loss of a class with the logit x and the target t is ``max(x, 0) - x t + log(1 + exp(-|x|))``. Label smoothing,
    inputs, errors and the other arguments are those of ``CrossEntropySmooth``.

    Args:
        target_threshold: dense targets above it become 1, others 0, before label smoothing; None keeps the dense
            targets. With 0, both classes of a mixed image get the target 1, as in DeiT III.
    """

    def __init__(
        self,
        num_classes: int,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        target_threshold: float | None = None,
        smoothing: Smoothing = "others",
    ) -> None:
        super().__init__(num_classes, label_smoothing, reduction, smoothing)
        self.target_threshold = target_threshold

    def construct(self, logits, labels):
        if self.target_threshold is not None and labels.ndim == 2:
            labels = (labels > self.target_threshold).astype(ms.float32)
        logits = logits.astype(ms.float32)
        size = ops.abs(logits)
        # max(x, 0) is computed as (x + |x|) / 2, with gradient 1/2 at 0. ReLU has gradient 0 there, and all logits of a
        # zero-initialized head are 0.
        per_class = logits * (0.5 - self._targets(labels)) + 0.5 * size + ops.log1p(ops.exp(-size))
        return self.get_loss(per_class.mean(-1))


def make_loss(settings: LossSettings, num_classes: int) -> nn.Cell:
    """Creates the loss function of the settings, averaged over the batch."""
    smoothed = {"label_smoothing": settings.label_smoothing, "smoothing": settings.smoothing}
    if settings.name == "bce":
        return BinaryCrossEntropySmooth(num_classes, target_threshold=settings.target_threshold, **smoothed)
    return CrossEntropySmooth(num_classes, **smoothed)

"""Losses for classification."""

from dataclasses import dataclass
from typing import Literal

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.models.setting_checks import check_values
from mindvit.printable import first_names

Smoothing = Literal["others", "all"]
_LEAST_ERROR = 1e-6
"""Least 1 - p in the factor of the focal loss: for an exponent below 1, the derivative at 0 is infinite."""
_LEAST_WEIGHT = 1e-30
"""Least divisor of weighted targets, whose sum is 0 for a class with the weight 0."""


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
    class_weights: Literal["balanced"] | tuple[float, ...] | None = None
    """Weight of each class in the training loss. balanced: inverse to its number of training images; a list: one number
    per class, in the order of the classes; null: all equal."""
    focal_gamma: float = 0.0
    """Focal loss: exponent that reduces the loss of samples that are already classified well. 0 disables it; the paper
    uses 2."""

    def __post_init__(self) -> None:
        check_values(self, "loss.")
        if self.target_threshold is not None and (self.name != "bce" or not 0 <= self.target_threshold < 1):
            raise ValueError("loss.target_threshold needs loss.name bce and a value in [0, 1)")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"loss.label_smoothing must lie in [0, 1), not {self.label_smoothing}")
        if self.focal_gamma < 0:
            raise ValueError(f"loss.focal_gamma must be at least 0, not {self.focal_gamma}")
        if isinstance(self.class_weights, tuple) and not (min(self.class_weights, default=-1) >= 0):
            raise ValueError(f"loss.class_weights needs numbers of at least 0, not {list(self.class_weights)}")


class _SmoothedLoss(nn.LossBase):
    """Base class of losses with label smoothing. Computes the targets, float32 (batch, num_classes)."""

    def __init__(
        self,
        num_classes: int,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        smoothing: Smoothing = "others",
        class_weights: np.ndarray | None = None,
        focal_gamma: float = 0.0,
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
        self.class_weights = None if class_weights is None else Tensor(class_weights, ms.float32)
        self.focal_gamma = focal_gamma

    def _dense(self, labels):
        if labels.ndim == 1:
            labels = ops.one_hot(labels.astype(ms.int32), self.num_classes, 1.0, 0.0)
        return labels.astype(ms.float32)

    def _targets(self, labels):
        return self._dense(labels) * (self.on_value - self.off_value) + self.off_value

    def _focus(self, loss, error):
        """The loss of a decision times ``error ** gamma``, with 1 - p for ``error``."""
        if self.focal_gamma == 0:
            return loss
        return loss * ops.pow(ops.maximum(error, _LEAST_ERROR), self.focal_gamma)


class CrossEntropySmooth(_SmoothedLoss):
    """Softmax cross-entropy with label smoothing.

    Each class has the target ``t``, 1 for the true class and 0 for the others, or between them for dense targets. With
    ``s`` for ``label_smoothing`` and ``K`` classes, ``t`` becomes

    - ``t (1 - s) + (1 - t) s / (K - 1)`` with smoothing ``"others"``: the true class keeps ``1 - s``, as in MindSpore's
      ViT tutorial;
    - ``t (1 - s) + s / K`` with smoothing ``"all"``: the true class gets its share of ``s`` too (Szegedy et al., 2016),
      as in timm, DeiT, PyTorch's ``CrossEntropyLoss`` and the targets of timm's Mixup.

    With the probabilities p the loss of a sample is ``-sum_c w_c t_c (1 - p_c)^gamma log(p_c)``. The weight of a class
    multiplies its term, also for smoothed and mixed targets, as in PyTorch. The mean is that over the samples: PyTorch
    divides integer labels by the sum of their weights in the batch instead, so that its loss depends on how a batch is
    divided over ranks and micro-batches. gamma is the exponent of the focal loss (Lin et al., 2017).

    Args:
        num_classes: K, at least 2.
        label_smoothing: ``s``, in [0, 1).
        reduction: ``"mean"`` over the batch, ``"sum"``, or ``"none"`` for one value per sample.
        smoothing: ``"others"`` or ``"all"``.
        class_weights: w, (num_classes,), as ``resolve_class_weights`` gives it; None for 1.
        focal_gamma: gamma, at least 0.

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
        class_weights: np.ndarray | None = None,
        focal_gamma: float = 0.0,
    ) -> None:
        super().__init__(num_classes, label_smoothing, reduction, smoothing, class_weights, focal_gamma)
        self.cross_entropy = nn.SoftmaxCrossEntropyWithLogits(reduction="none")

    def construct(self, logits, labels):
        logits, targets = logits.astype(ms.float32), self._targets(labels)
        if self.class_weights is not None:
            targets = targets * self.class_weights
        if self.focal_gamma != 0:
            log_p = ops.log_softmax(logits, -1)
            loss = self._focus(-targets * log_p, 1.0 - ops.exp(log_p)).sum(-1)
        elif self.class_weights is not None:
            # The gradient of the operator, probability minus target, is right only for targets with the sum 1.
            total = ops.maximum(targets.sum(-1), _LEAST_WEIGHT)
            loss = self.cross_entropy(logits, targets / total.expand_dims(-1)) * total
        else:
            loss = self.cross_entropy(logits, targets)
        return self.get_loss(loss)


class BinaryCrossEntropySmooth(_SmoothedLoss):
    """Binary cross-entropy of each class, averaged over the classes (Wightman et al., 2021; DeiT III).

    The loss of a class with the logit x and the target t is ``max(x, 0) - x t + log(1 + exp(-|x|))``. With p for the
    probability sigmoid(x) this is ``-t log(p) - (1 - t) log(1 - p)``. The focal loss multiplies the first term by
    ``(1 - p)^gamma`` and the second one by ``p^gamma``. Each class is a decision between its samples and all others,
    and one weight for both terms would leave it as it is. So the loss of a sample is multiplied by the weight of its
    class; for mixed labels by the mixture of the weights. Label smoothing, inputs, errors and the other arguments are
    those of ``CrossEntropySmooth``.

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
        class_weights: np.ndarray | None = None,
        focal_gamma: float = 0.0,
    ) -> None:
        super().__init__(num_classes, label_smoothing, reduction, smoothing, class_weights, focal_gamma)
        self.target_threshold = target_threshold

    def construct(self, logits, labels):
        weights = 1.0
        if self.class_weights is not None:
            weights = (self._dense(labels) * self.class_weights).sum(-1)
        if self.target_threshold is not None and labels.ndim == 2:
            labels = (labels > self.target_threshold).astype(ms.float32)
        logits = logits.astype(ms.float32)
        size = ops.abs(logits)
        # max(x, 0) is computed as (x + |x|) / 2, with gradient 1/2 at 0. ReLU has gradient 0 there, and all logits of a
        # zero-initialized head are 0.
        rest = 0.5 * size + ops.log1p(ops.exp(-size))
        targets = self._targets(labels)
        if self.focal_gamma == 0:
            per_class = logits * (0.5 - targets) + rest
        else:
            positive = self._focus(rest - 0.5 * logits, ops.sigmoid(-logits))
            negative = self._focus(rest + 0.5 * logits, ops.sigmoid(logits))
            per_class = targets * positive + (1.0 - targets) * negative
        return self.get_loss(per_class.mean(-1) * weights)


def make_loss(settings: LossSettings, num_classes: int, class_weights: np.ndarray | None = None) -> nn.Cell:
    """Creates the loss function of the settings, averaged over the batch.

    Args:
        settings: the settings.
        num_classes: number of classes.
        class_weights: what ``resolve_class_weights`` makes of ``settings.class_weights``.
    """
    shared = {
        "label_smoothing": settings.label_smoothing,
        "smoothing": settings.smoothing,
        "class_weights": class_weights,
        "focal_gamma": settings.focal_gamma,
    }
    if settings.name == "bce":
        return BinaryCrossEntropySmooth(num_classes, target_threshold=settings.target_threshold, **shared)
    return CrossEntropySmooth(num_classes, **shared)


def resolve_class_weights(
    settings: LossSettings, classes: Classes, counts: np.ndarray, balanced_sampling: bool = False
) -> np.ndarray | None:
    """The weight of each class, float32 (num_classes,); None without weights.

    ``balanced`` is ``n / (K n_k)`` with n training images, K classes that have some, and n_k images of class k, as in
    scikit-learn (King and Zeng, 2001). A class without images has the weight 1. All weights are divided by their mean
    over the training samples, so that the loss keeps its scale, and with it the meaning of the learning rate.

    Args:
        settings: the settings.
        classes: the classes, in the order of their labels.
        counts: training images of each class, (num_classes,).
        balanced_sampling: whether the training samples show each class equally often.

    Raises:
        UserError: if the list has another number of weights than there are classes, or none above 0.
    """
    if settings.class_weights is None:
        return None
    present = counts > 0
    if settings.class_weights == "balanced":
        weights = np.where(present, counts.sum() / (present.sum() * np.maximum(counts, 1)), 1.0)
    elif len(settings.class_weights) == len(classes):
        weights = np.array(settings.class_weights, np.float64)
    else:
        raise UserError(
            f"loss.class_weights has {len(settings.class_weights)} numbers, but the data have {len(classes)} classes: "
            f"{first_names(classes.names)}"
        )
    mean = np.average(weights, weights=present if balanced_sampling else counts)
    if mean == 0:
        raise UserError("loss.class_weights has no number above 0 for a class with training images")
    return (weights / mean).astype(np.float32)

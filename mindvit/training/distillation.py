"""Learning from a teacher: another network, whose outputs a student shall give."""

from dataclasses import dataclass
from typing import Any, Literal

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.factory import load_trained
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig


@dataclass(frozen=True)
class DistillationSettings:
    """What is learned from a teacher, beside the labels (Touvron et al., 2021, "DeiT")."""

    teacher: str | None = None
    """Checkpoint of the teacher, any that eval.py takes: a path, or the name of a file in ckpt/; null has none."""
    kind: Literal["hard", "soft"] = "hard"
    """hard: the class that the teacher chooses is a second label; soft: the student matches its probabilities."""
    alpha: float = 0.5
    """Weight of the teacher's part of the loss; the labels' is the rest. DeiT: 0.5 hard, 0.1 soft."""
    temperature: float = 3.0
    """soft: what both networks' logits are divided by."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise ValueError(f"distill.alpha must lie in (0, 1], not {self.alpha}")
        if self.temperature <= 0:
            raise ValueError(f"distill.temperature must be above 0, not {self.temperature}")


class Teacher(nn.Cell):
    """A trained network that is asked and not changed: it stays in evaluation, and no gradient goes through it.

    Args:
        network: gives logits.
        factor: what an input's channels are multiplied by, (channels,), so that images prepared for the student are
            such as the teacher was trained on.
        shift: what is then added to them, (channels,).

    Input: images, (batch, channels, height, width), prepared for the student. Output: logits, float32 (batch,
    num_classes).
    """

    def __init__(self, network: nn.Cell, factor: np.ndarray, shift: np.ndarray) -> None:
        super().__init__()
        self.network = network
        self.factor = Tensor(factor.reshape(1, -1, 1, 1), ms.float32)
        self.shift = Tensor(shift.reshape(1, -1, 1, 1), ms.float32)
        # Beside the student's, whose names are the same.
        self.update_parameters_name("teacher.")
        for parameter in self.get_parameters():
            parameter.requires_grad = False
        self.set_train(False)

    def construct(self, images):
        return ops.stop_gradient(self.network(images * self.factor + self.shift).astype(ms.float32))

    def add_flags_recursive(self, **flags: Any) -> None:
        """Keeps the network in evaluation when the step that holds it is set to training."""
        if "training" in flags:
            flags["training"] = False
        super().add_flags_recursive(**flags)


class DistillationLoss(nn.Cell):
    """``(1 - alpha) loss(logits, labels) + alpha part(logits, teacher's logits)``, the mean over the batch.

    The teacher's part, of the student's logits z and the teacher's t, is the cross-entropy of z with the class that t
    ranks first (hard), or ``T^2 KL(softmax(t / T) || softmax(z / T))`` (soft; Hinton et al., 2015; DeiT, eq. 2 and 3).
    A student with two heads learns the labels with the first and from the teacher with the second.

    Args:
        loss: from logits and labels to a scalar.
        kind: ``"hard"`` or ``"soft"``.
        alpha: weight of the teacher's part.
        temperature: T.

    Inputs: outputs, the student's logits (batch, num_classes) or the pair of both heads'; labels, as ``loss`` takes
    them; teacher, the teacher's logits (batch, num_classes). Output: a scalar.
    """

    def __init__(self, loss: nn.Cell, kind: str, alpha: float, temperature: float) -> None:
        super().__init__()
        self.loss = loss
        self.is_hard = kind == "hard"
        self.alpha = alpha
        self.temperature = 1.0 if self.is_hard else temperature

    def construct(self, outputs, labels, teacher):
        first, second = outputs if isinstance(outputs, tuple) else (outputs, outputs)
        log_student = ops.log_softmax(second.astype(ms.float32) / self.temperature, -1)
        if self.is_hard:
            wanted = ops.one_hot(teacher.argmax(-1), teacher.shape[-1], 1.0, 0.0).astype(ms.float32)
            part = -(wanted * log_student).sum(-1).mean()
        else:
            log_teacher = ops.log_softmax(teacher / self.temperature, -1)
            part = (ops.exp(log_teacher) * (log_teacher - log_student)).sum(-1).mean() * self.temperature**2
        return (1.0 - self.alpha) * self.loss(first, labels) + self.alpha * part


class LossOfMean(nn.Cell):
    """The loss of the mean of two heads' logits, which is what a distilled network gives in evaluation.

    Args:
        loss: from logits and labels to a scalar.

    Inputs: outputs, the pair of logits, each (batch, num_classes); labels. Output: a scalar.
    """

    def __init__(self, loss: nn.Cell) -> None:
        super().__init__()
        self.loss = loss

    def construct(self, outputs, labels):
        return self.loss((outputs[0] + outputs[1]) / 2, labels)


def load_teacher(settings: DistillationSettings, student: ViTConfig, classes: Classes, download: bool) -> ViT | None:
    """Loads the teacher's network, at the student's size of images; None where there is none.

    Raises:
        UserError: if it cannot be loaded, tells other classes apart, or none.
    """
    if settings.teacher is None:
        return None
    try:
        trained = load_trained(settings.teacher, download, image_size=student.image_size)
    except UserError as error:
        raise UserError(f"distill.teacher: {error}") from error
    own, outputs = trained.metadata.classes, trained.network.config.num_classes
    if (own is not None and own.ids != classes.ids) or outputs != len(classes):
        raise UserError(
            f"distill.teacher {settings.teacher} tells {outputs} classes apart, which are not the data's "
            f"{len(classes)}; a teacher must have been trained on the same classes"
        )
    if not trained.network.dense.weight.asnumpy().any():
        raise UserError(f"distill.teacher {settings.teacher} has no head that was trained; it knows no classes")
    return trained.network


def make_teacher(network: nn.Cell, own: ViTConfig, student: ViTConfig) -> Teacher:
    """The teacher of images that are prepared for the student.

    Args:
        network: the teacher's, at the precision that it shall compute in.
        own: the teacher's settings.
        student: the student's.
    """
    mean, std, student_mean, student_std = (
        np.array(values, np.float64)
        for values in (
            own.preprocessing.mean,
            own.preprocessing.std,
            student.preprocessing.mean,
            student.preprocessing.std,
        )
    )
    return Teacher(network, student_std / std, (student_mean - mean) / std)

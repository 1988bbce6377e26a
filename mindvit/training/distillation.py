"""Knowledge distillation: a student network learns from the outputs of a teacher network."""

from dataclasses import dataclass
from typing import Any, Literal

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.factory import load_trained
from mindvit.models.setting_checks import check_values
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig


@dataclass(frozen=True)
class DistillationSettings:
    """Knowledge distillation from a teacher, beside the labels.

    Touvron et al., 2021, "DeiT".
    """

    teacher: str | None = None
    """Checkpoint of the teacher, any that eval.py accepts: a path, or the name of a file in ckpt/. null disables
    distillation."""
    kind: Literal["hard", "soft"] = "hard"
    """hard: the class that the teacher predicts is a second label. soft: the student matches its probabilities."""
    alpha: float = 0.5
    """Weight of the distillation loss; the loss of the labels has the rest. DeiT: 0.5 for hard, 0.1 for soft."""
    temperature: float = 3.0
    """Divisor of the logits of both networks (soft)."""

    def __post_init__(self) -> None:
        check_values(self, "distill.")
        if not 0 < self.alpha <= 1:
            raise ValueError(f"distill.alpha must lie in (0, 1], not {self.alpha}")
        if self.temperature <= 0:
            raise ValueError(f"distill.temperature must be above 0, not {self.temperature}")


class Teacher(nn.Cell):
    """A trained, frozen network. It stays in evaluation mode, and no gradient flows through it.

    Args:
        network: from images to logits.
        factor: factor of the input channels, (channels,). With ``shift`` it turns images that are normalized for the
            student into images that are normalized for the teacher.
        shift: added to the channels after that, (channels,).

    Input: images, (batch, channels, height, width), normalized for the student. Output: logits, float32 (batch,
    num_classes).
    """

    def __init__(self, network: nn.Cell, factor: np.ndarray, shift: np.ndarray) -> None:
        super().__init__()
        self.network = network
        self.factor = Tensor(factor.reshape(1, -1, 1, 1), ms.float32)
        self.shift = Tensor(shift.reshape(1, -1, 1, 1), ms.float32)
        # The names must differ from those of the student.
        self.update_parameters_name("teacher.")
        for parameter in self.get_parameters():
            parameter.requires_grad = False
        self.set_train(False)

    def construct(self, images):
        return ops.stop_gradient(self.network(images * self.factor + self.shift).astype(ms.float32))

    def add_flags_recursive(self, **flags: Any) -> None:
        """Keeps the network in evaluation mode when the step that holds it is set to training."""
        if "training" in flags:
            flags["training"] = False
        super().add_flags_recursive(**flags)


class DistillationLoss(nn.Cell):
    """``(1 - alpha) loss(logits, labels) + alpha distillation(logits, teacher_logits)``, the mean over the batch.

    With the logits z of the student and t of the teacher, the distillation loss is the cross-entropy of z and the class
    with the greatest t (hard), or ``T^2 KL(softmax(t / T) || softmax(z / T))`` (soft; Hinton et al., 2015; DeiT, eq. 2
    and 3). If the student has two heads, the first learns from the labels and the second from the teacher.

    Args:
        loss: from logits and labels to a scalar.
        kind: ``"hard"`` or ``"soft"``.
        alpha: weight of the distillation loss.
        temperature: T.

    Inputs: outputs, the logits of the student (batch, num_classes), or a pair of them from two heads; labels, as
    ``loss`` takes them; teacher_logits, (batch, num_classes). Output: a scalar.
    """

    def __init__(self, loss: nn.Cell, kind: str, alpha: float, temperature: float) -> None:
        super().__init__()
        self.loss = loss
        self.is_hard = kind == "hard"
        self.alpha = alpha
        self.temperature = 1.0 if self.is_hard else temperature

    def construct(self, outputs, labels, teacher_logits):
        first, second = outputs if isinstance(outputs, tuple) else (outputs, outputs)
        log_student = ops.log_softmax(second.astype(ms.float32) / self.temperature, -1)
        if self.is_hard:
            targets = ops.one_hot(teacher_logits.argmax(-1), teacher_logits.shape[-1], 1.0, 0.0).astype(ms.float32)
            distillation = -(targets * log_student).sum(-1).mean()
        else:
            log_teacher = ops.log_softmax(teacher_logits / self.temperature, -1)
            distillation = (ops.exp(log_teacher) * (log_teacher - log_student)).sum(-1).mean() * self.temperature**2
        return (1.0 - self.alpha) * self.loss(first, labels) + self.alpha * distillation


class LossOfMean(nn.Cell):
    """The loss of the mean of the logits of two heads, which is the output of a distilled network in evaluation.

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
    """Loads the teacher network at the image size of the student; None without distillation.

    Raises:
        UserError: if it cannot be loaded, has other classes, or has no trained head.
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
            f"distill.teacher {settings.teacher} has {outputs} classes, which are not the {len(classes)} classes of "
            "the data; choose a teacher that was trained on the same classes"
        )
    if not trained.network.dense.weight.asnumpy().any():
        raise UserError(f"distill.teacher {settings.teacher} has no trained head; choose another teacher")
    return trained.network


def make_teacher(network: nn.Cell, own: ViTConfig, student: ViTConfig) -> Teacher:
    """Makes the teacher for images that are normalized for the student.

    Args:
        network: the teacher network, at the precision to compute in.
        own: configuration of the teacher.
        student: configuration of the student.
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

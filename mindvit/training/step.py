"""One optimizer step, from a batch to new weights."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, amp, nn, ops

from mindvit.training.distillation import Teacher
from mindvit.training.ema import ExponentialMovingAverage
from mindvit.training.mixup import Mixup
from mindvit.training.optimizers import Optimizer


class TrainStep(nn.Cell):
    """Forward, loss, gradients, accumulation, reduction over workers, clipping, optimizer and averages, in this order.

    A batch holds the images of the whole step. With ``accumulate_steps`` it is cut into so many parts, which go
    through the network one after the other in a loop of one compiled graph, and whose gradients are averaged. So
    ``train.Model`` counts optimizer steps, and whatever is counted per step moves once per update.

    Gradients are reduced over the workers once, after the accumulation, and clipped after that: clipping each
    worker's or part's own gradient would give another direction (``train.Model``'s own step has neither).

    Where the gradient is not finite (an overflow under loss scaling, or a loss gone astray) nothing changes but the
    loss scale: neither weights nor averages nor the count of steps, which the learning rate depends on.

    Args:
        network: from images and keys to logits, or to a pair of them.
        loss: from these, the labels and, where there is a teacher, its logits to a scalar, the mean over the batch.
        optimizer: updates the weights; its ``step`` counts the updates.
        learning_rates: of each update, float32 (steps,).
        accumulate_steps: parts of a batch; must divide its size.
        clip_norm: greatest global norm of the gradient; None clips nothing. The factor is
            ``min(1, clip_norm / (norm + 1e-6))``, as PyTorch's.
        scaler: scales the loss; None does not.
        world_size: workers to average over.
        mixup: mixes the batch; None does not.
        ema: average to bring up to date after each update.
        teacher: from images to logits, which the loss takes beside the labels; None has none.

    Inputs: images, float32 (batch, channels, height, width); labels, int32 (batch,); keys, int32 (batch,); mix,
    float32 (6,). Outputs, all scalars: the batch's mean loss, the norm of the gradient before clipping, the learning
    rate, and whether an update was made; of several workers also whether any had asked to stop before this step.
    """

    def __init__(
        self,
        network: nn.Cell,
        loss: nn.Cell,
        optimizer: Optimizer,
        learning_rates: np.ndarray,
        accumulate_steps: int = 1,
        clip_norm: float | None = None,
        scaler: amp.LossScaler | None = None,
        world_size: int = 1,
        mixup: Mixup | None = None,
        ema: ExponentialMovingAverage | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss
        self.teacher = teacher
        self.optimizer = optimizer
        self.learning_rates = Tensor(learning_rates, ms.float32)
        self.micro_batches = accumulate_steps
        self.clip_norm = clip_norm
        self.rescales = accumulate_steps > 1 or clip_norm is not None or scaler is not None
        self.mixup = mixup
        self.ema = ema
        self.weights = optimizer.parameters
        self.world_size = world_size
        self.gradient = ms.value_and_grad(self._scaled_loss, None, self.weights)
        if self.micro_batches > 1:
            self.gradient_sums = self.weights.clone("accumulated", "zeros")
            self.loss_sum = Parameter(Tensor(0.0, ms.float32), name="accumulated.loss", requires_grad=False)
        self.scaler = scaler
        if scaler is not None:
            # Held here too, so that they count among this cell's parameters and are saved with them.
            self.loss_scale, self.steps_at_scale = scaler.scale_value, scaler.counter
            self.loss_scale.name, self.steps_at_scale.name = "loss_scale.value", "loss_scale.steps"
        if world_size > 1:
            self.stop_asked = Parameter(Tensor(0.0, ms.float32), name="stop.asked", requires_grad=False)
            self.sum = ops.AllReduce()
            self.reduce = nn.DistributedGradReducer(self.weights, mean=True, degree=world_size)

    def construct(self, images, labels, keys, mix):
        if self.mixup is not None:
            images, labels = self.mixup(images, labels, mix)
        loss, gradients = self._accumulated(images, labels, keys)
        stop = ()
        if self.world_size > 1:
            sums = self.sum(ops.stack((loss, self.stop_asked.value())))
            loss, stop = sums[0] / self.world_size, (sums[1] > 0,)
            gradients = self.reduce(gradients)
        factor = Tensor(1.0 / self.micro_batches, ms.float32)
        if self.scaler is not None:
            factor = factor / self.loss_scale
        loss = loss * factor
        norm = self._norm(gradients) * factor
        finite = ops.isfinite(norm)
        if self.clip_norm is not None:
            factor = factor * ops.minimum(Tensor(1.0, ms.float32), self.clip_norm / (norm + 1e-6))
        if self.rescales:
            gradients = self._times(gradients, factor)
        step = self.optimizer.step + 0
        rate = self.learning_rates[ops.minimum(step, self.learning_rates.shape[0] - 1)]
        if finite:
            self.optimizer(gradients, rate)
            if self.ema is not None:
                self.ema(step)
        if self.scaler is not None:
            self.scaler.adjust(finite)
        return (loss, norm, rate, finite) + stop  # noqa: RUF005 (graph mode parses no star)

    def ask_to_stop(self) -> None:
        """Lets every worker know, by the outputs of its next step, that this one was told to stop."""
        ops.assign(self.stop_asked, Tensor(1.0, ms.float32))

    def _scaled_loss(self, images, labels, keys):
        outputs = self.network(images, keys)
        taught = () if self.teacher is None else (self.teacher(images),)
        loss = self.loss(outputs, labels, *taught)
        return loss if self.scaler is None else self.scaler.scale(loss)

    def _accumulated(self, images, labels, keys):
        """The sums, over the parts of the batch, of the scaled loss and of its gradients."""
        if self.micro_batches == 1:
            return self.gradient(images, labels, keys)
        images = images.reshape((self.micro_batches, -1) + images.shape[1:])  # noqa: RUF005 (graph mode parses no star)
        labels = labels.reshape((self.micro_batches, -1) + labels.shape[1:])  # noqa: RUF005
        keys = keys.reshape(self.micro_batches, -1)
        for gradient_sum in self.gradient_sums:
            ops.assign(gradient_sum, ops.zeros_like(gradient_sum))
        ops.assign(self.loss_sum, Tensor(0.0, ms.float32))
        micro_batch = Tensor(0, ms.int32)
        while micro_batch < self.micro_batches:
            loss, gradients = self.gradient(images[micro_batch], labels[micro_batch], keys[micro_batch])
            ops.assign_add(self.loss_sum, loss)
            for index in range(len(gradients)):
                ops.assign_add(self.gradient_sums[index], gradients[index])
            micro_batch = micro_batch + 1
        sums = ()
        for gradient_sum in self.gradient_sums:
            sums = sums + (gradient_sum.value(),)  # noqa: RUF005
        return self.loss_sum.value(), sums

    def _norm(self, gradients):
        total = Tensor(0.0, ms.float32)
        for gradient in gradients:
            total = total + ops.square(gradient).sum()
        return ops.sqrt(total)

    def _times(self, gradients, factor):
        scaled = ()
        for gradient in gradients:
            scaled = scaled + (gradient * factor,)  # noqa: RUF005
        return scaled

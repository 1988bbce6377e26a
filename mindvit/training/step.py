"""The training step: one optimizer update, from a batch to new weights."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, amp, nn, ops
from mindspore.common.initializer import initializer

from mindvit.ops.global_norm import GlobalNorm, multiply
from mindvit.ops.operation import target_device
from mindvit.runtime import return_freed_memory
from mindvit.training.distillation import Teacher
from mindvit.training.ema import ExponentialMovingAverage
from mindvit.training.flat_weights import FlatWeights
from mindvit.training.gradient_sum import GradientSum
from mindvit.training.mixup import Mixup
from mindvit.training.optimizers import Optimizer
from mindvit.training.recompute import RecomputedGradients


class TrainStep(nn.Cell):
    """The training step: forward, loss, gradients, accumulation, reduction over ranks, clipping, optimizer and EMA.

    A batch holds the images of the whole step. With ``accumulate_steps`` it is split into that many micro-batches. They
    go through the network one after the other, in a loop of one compiled graph, and their gradients are averaged. So
    ``train.Model`` counts optimizer steps, and all that is counted per step advances once per update.

    Gradients are reduced over the ranks once, after the accumulation, and clipped after that. Clipping the gradient of
    each rank or micro-batch would give another direction. (The step of ``train.Model`` does neither.)

    If the gradient is not finite (an overflow under loss scaling, or a loss that diverged), only the loss scale
    changes. The weights, the average and the step count, which selects the learning rate, do not change.

    Args:
        network: from images and ``rng_keys`` to logits, or to a pair of them.
        loss: from the logits, the labels and, with a teacher, its logits to a scalar, the mean over the batch.
        optimizer: updates the weights; its ``step`` counts the updates.
        flat: the buffers that hold the weights, which ``optimizer`` updates; None if the parameters of the network do.
        learning_rates: learning rate of each update, float32 (steps,).
        accumulate_steps: micro-batches in a batch; must divide its size.
        clip_norm: maximum global norm of the gradient; None disables clipping. The factor is
            ``min(1, clip_norm / (norm + 1e-6))``, as in PyTorch.
        scaler: scales the loss; None disables loss scaling.
        world_size: number of ranks to average over.
        mixup: mixes the batch; None disables mixing.
        ema: average to update after each update of the weights.
        teacher: from images to logits, which the loss takes beside the labels; None without distillation.
        recomputes: whether blocks are computed again in the backward pass (``RecomputedGradients``), which needs a ViT.

    Inputs: images, float32 (batch, channels, height, width); labels, int32 (batch,); rng_keys, int32 (batch,); mix,
    float32 (6,). Outputs, all scalars: the mean loss of the batch, the gradient norm before clipping, the learning
    rate, and whether the weights were updated; with several ranks also whether a rank had requested a stop before this
    step.
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
        flat: FlatWeights | None = None,
        recomputes: bool = False,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss
        self.teacher = teacher
        self.optimizer = optimizer
        self.learning_rates = Tensor(learning_rates, ms.float32)
        self.micro_batches = accumulate_steps
        self.global_norm = GlobalNorm()
        self.clip_norm = clip_norm
        self.rescales = accumulate_steps > 1 or world_size > 1 or clip_norm is not None or scaler is not None
        self.mixup = mixup
        self.ema = ema
        self.flat = flat
        self.weights = optimizer.parameters if flat is None else flat.handles
        self.world_size = world_size
        self.has_returned_memory = False
        if recomputes:
            self.value_and_grad = RecomputedGradients(network, self._scaled_loss, self.weights)
        else:
            self.value_and_grad = ms.value_and_grad(self._loss_of_batch, None, self.weights)
        if self.micro_batches > 1:
            shapes = {weight.name: weight.shape for weight in optimizer.parameters} if flat is None else flat.joined
            self.gradient_sums = ParameterTuple(
                Parameter(initializer("zeros", shape), name=f"accumulated.{name}", requires_grad=False)
                for name, shape in shapes.items()
            )
            self.loss_sum = Parameter(Tensor(0.0, ms.float32), name="accumulated.loss", requires_grad=False)
        self.scaler = scaler
        if scaler is not None:
            # Attributes of this cell too, so that they are among its parameters and saved with them.
            self.loss_scale, self.steps_at_scale = scaler.scale_value, scaler.counter
            self.loss_scale.name, self.steps_at_scale.name = "loss_scale.value", "loss_scale.steps"
        if world_size > 1:
            self.stop_asked = Parameter(Tensor(0.0, ms.float32), name="stop.asked", requires_grad=False)
            self.joins_sums = flat is None and target_device() == "CPU"
            self.all_reduce = ops.AllReduce()
            if self.joins_sums:
                self.sum_over_ranks = GradientSum([(2,), *(weight.shape for weight in self.weights)])
            elif flat is None:  # MindSpore's compiler joins its collectives.
                self.reduce_gradients = nn.DistributedGradReducer(self.weights, mean=False, degree=world_size)

    def compile(self, *inputs, **options):
        """Compiles the step. MindSpore calls it before each run; only the first call of a kind of inputs compiles."""
        super().compile(*inputs, **options)
        if not self.has_returned_memory:
            self.has_returned_memory = True
            return_freed_memory()

    def construct(self, images, labels, rng_keys, mix):
        if self.mixup is not None:
            images, labels = self.mixup(images, labels, mix)
        loss, gradients = self._accumulated(images, labels, rng_keys)
        stop = ()
        if self.world_size > 1:
            sums, gradients = self._summed_over_ranks(ops.stack((loss, self.stop_asked.value())), gradients)
            loss, stop = sums[0], (sums[1] > 0,)
        factor = Tensor(1.0 / (self.micro_batches * self.world_size), ms.float32)
        if self.scaler is not None:
            factor = factor / self.loss_scale
        loss = loss * factor
        norm = self.global_norm(gradients) * factor
        finite = ops.isfinite(norm)
        if self.clip_norm is not None:
            factor = factor * ops.minimum(Tensor(1.0, ms.float32), self.clip_norm / (norm + 1e-6))
        if self.rescales and not self.optimizer.applies_factor:
            gradients = multiply(gradients, factor)
        step = self.optimizer.step + 0
        rate = self.learning_rates[ops.minimum(step, self.learning_rates.shape[0] - 1)]
        if finite:
            self.optimizer(gradients, rate, factor if self.rescales and self.optimizer.applies_factor else None)
            if self.ema is not None:
                self.ema(step)
        if self.scaler is not None:
            self.scaler.adjust(finite)
        return (loss, norm, rate, finite) + stop  # noqa: RUF005 (graph mode parses no star)

    def ask_to_stop(self) -> None:
        """Requests a stop: all ranks find it in the outputs of the next step."""
        ops.assign(self.stop_asked, Tensor(1.0, ms.float32))

    def publish(self) -> None:
        """Copies the weights to the parameters of the network, if buffers hold them."""
        if self.flat is not None:
            self.flat.publish()

    def _loss_of_batch(self, images, labels, rng_keys):
        return self._scaled_loss(self.network(images, rng_keys), images, labels)

    def _scaled_loss(self, outputs, images, labels):
        teacher_logits = () if self.teacher is None else (self.teacher(images),)
        loss = self.loss(outputs, labels, *teacher_logits)
        return loss if self.scaler is None else self.scaler.scale(loss)

    def _accumulated(self, images, labels, rng_keys):
        """The sums, over the micro-batches, of the scaled loss and of its gradients."""
        if self.micro_batches == 1:
            return self._value_and_gradients(images, labels, rng_keys)
        images = images.reshape((self.micro_batches, -1) + images.shape[1:])  # noqa: RUF005 (graph mode parses no star)
        labels = labels.reshape((self.micro_batches, -1) + labels.shape[1:])  # noqa: RUF005
        rng_keys = rng_keys.reshape(self.micro_batches, -1)
        for gradient_sum in self.gradient_sums:
            ops.assign(gradient_sum, ops.zeros_like(gradient_sum))
        ops.assign(self.loss_sum, Tensor(0.0, ms.float32))
        micro_batch = Tensor(0, ms.int32)
        while micro_batch < self.micro_batches:
            loss, gradients = self._value_and_gradients(images[micro_batch], labels[micro_batch], rng_keys[micro_batch])
            ops.assign_add(self.loss_sum, loss)
            for index in range(len(gradients)):
                ops.assign_add(self.gradient_sums[index], gradients[index])
            micro_batch = micro_batch + 1
        sums = ()
        for gradient_sum in self.gradient_sums:
            sums = sums + (gradient_sum.value(),)  # noqa: RUF005
        return self.loss_sum.value(), sums

    def _summed_over_ranks(self, scalars, gradients):
        if self.joins_sums:
            sums = self.sum_over_ranks((scalars,) + gradients)  # noqa: RUF005
            return sums[0], sums[1:]
        scalars = self.all_reduce(scalars)
        if self.flat is None:
            return scalars, self.reduce_gradients(gradients)
        sums = ()
        for gradient in gradients:
            sums = sums + (self.all_reduce(gradient),)  # noqa: RUF005
        return scalars, sums

    def _value_and_gradients(self, images, labels, rng_keys):
        loss, gradients = self.value_and_grad(images, labels, rng_keys)
        return loss, gradients if self.flat is None else self.flat(gradients)

"""The optimizers: AdamW, Adam, SGD with momentum, LAMB."""

from collections.abc import Mapping, Sequence

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore.common.initializer import initializer

from mindvit.ops.adamw import AdamWUpdate, BiasCorrections, NativeAdamW
from mindvit.ops.lamb import LambUpdate
from mindvit.ops.operation import has_native_kernels
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.param_groups import ParamOptions

STATE_PREFIX = "optimizer."
"""Start of the names of all optimizer states."""


class Optimizer(nn.Cell):
    """Base class of the optimizers: the interface of an update, and the optimizer states that a run saves.

    The states are parameters named ``optimizer.<slot>.<name of the weight>``, and ``optimizer.step``, the number of
    updates so far, int32. A cell that holds an optimizer must have ``auto_prefix=False``, so that the names do not
    change.

    A subclass implements ``update(gradients, lr, step, factor)``; ``step`` is a float32 scalar, 1 at the first update.
    ``factor`` is None unless the subclass sets ``applies_factor``.

    Args:
        parameters: the weights to train, float32.
        lr_scales: factor of the learning rate for each weight.
        weight_decays: weight decay of each weight.

    Inputs: the gradients, a tuple of float32 tensors in the order and shapes of the weights; the learning rate, a
    float32 scalar tensor; and the factor that averages, unscales and clips the gradients, a float32 scalar tensor, or
    None if they are ready, as they must be unless ``applies_factor``. Output: the number of updates so far.
    """

    applies_factor = False
    """Whether ``update`` multiplies the gradients by the factor."""

    def __init__(
        self, parameters: Sequence[Parameter], lr_scales: Sequence[float], weight_decays: Sequence[float]
    ) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.lr_scales = tuple(lr_scales)
        self.weight_decays = tuple(weight_decays)
        self.step = Parameter(Tensor(0, ms.int32), name=f"{STATE_PREFIX}step", requires_grad=False)

    def full_state(self) -> dict[str, Parameter | Tensor]:
        """The optimizer states by name, as full tensors; all ranks call it together."""
        return {
            parameter.name: parameter for parameter in self.get_parameters() if parameter.name.startswith(STATE_PREFIX)
        }

    def full_state_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors of ``full_state``."""
        return {name: tuple(parameter.shape) for name, parameter in self.full_state().items()}

    def load_full_state(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Loads what ``full_state`` returned. The weights must be loaded before."""
        for name, parameter in self.full_state().items():
            parameter.set_data(Tensor(tensors[name]))

    def use_shards(self) -> None:
        """Declares that the parameters are this rank's shards of larger tensors."""

    def make_slot(self, slot: str) -> ParameterTuple:
        """Creates one kind of optimizer state: zeros in the shapes of the weights."""
        return ParameterTuple(
            Parameter(
                initializer("zeros", parameter.shape, ms.float32),
                name=f"{STATE_PREFIX}{slot}.{parameter.name}",
                requires_grad=False,
            )
            for parameter in self.parameters
        )

    def construct(self, gradients, lr, factor=None):
        step = ops.assign_add(self.step, 1)
        self.update(gradients, lr, step.astype(ms.float32), factor)
        return step


class _Moments(Optimizer):
    """Base class of optimizers with the two moments of Adam: running means of the gradient and of its square."""

    def __init__(
        self,
        parameters: Sequence[Parameter],
        lr_scales: Sequence[float],
        weight_decays: Sequence[float],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr_scales, weight_decays)
        self.beta1, self.beta2 = (Tensor(beta, ms.float32) for beta in betas)
        self.corrections = BiasCorrections((self.beta1, self.beta2))
        self.eps = eps
        self.exp_avg = self.make_slot("exp_avg")
        self.exp_avg_sq = self.make_slot("exp_avg_sq")


class AdamW(_Moments):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019); without decay, Adam (Kingma & Ba, 2015).

    For each weight, with its own ``lr`` and ``decay``:
    ``w <- (1 - lr decay) w``; ``m <- beta1 m + (1 - beta1) g``; ``v <- beta2 v + (1 - beta2) g^2``;
    ``w <- w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)``.

    It replaces ``nn.AdamWeightDecay``, which has no bias correction and takes nearly three times as long on CPU
    (``mindvit benchmark operators --operator optimizer``).
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.update_weight = AdamWUpdate()
        self.applies_factor = has_native_kernels()
        if self.applies_factor:
            self.update_all = NativeAdamW(
                self.parameters, self.exp_avg, self.exp_avg_sq, self.lr_scales, self.weight_decays
            )

    def update(self, gradients, lr, step, factor):
        correction1, correction2 = self.corrections(step)
        # The kernel corrects the numerator and the root in the denominator together, but not eps. It also takes powers
        # of beta, which float32 rounds too coarsely. So both corrections go into the learning rate and eps here.
        root = ops.sqrt(correction2)
        corrected_lr = lr * root / correction1
        eps = self.eps * root
        if self.applies_factor:
            factor = Tensor(1.0, ms.float32) if factor is None else factor
            self.update_all(gradients, corrected_lr, self.beta1, self.beta2, eps, lr, factor)
            return
        for index in range(len(self.parameters)):
            weight, scale, decay = self.parameters[index], self.lr_scales[index], self.weight_decays[index]
            self.update_weight(
                weight,
                self.exp_avg[index],
                self.exp_avg_sq[index],
                gradients[index],
                corrected_lr * scale,
                self.beta1,
                self.beta2,
                eps,
                lr * (scale * decay) if decay > 0 else None,
            )


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    For each weight, with its own ``lr`` and ``decay``: ``b <- momentum b + g + decay w``; ``w <- w - lr b``.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        lr_scales: Sequence[float],
        weight_decays: Sequence[float],
        momentum: float = 0.9,
    ) -> None:
        super().__init__(parameters, lr_scales, weight_decays)
        self.momentum = self.make_slot("momentum")
        self.momentum_factor = Tensor(momentum, ms.float32)
        self.apply_momentum = ops.ApplyMomentum()

    def update(self, gradients, lr, step, factor):
        for index in range(len(self.parameters)):
            weight, gradient, decay = self.parameters[index], gradients[index], self.weight_decays[index]
            if decay > 0:
                gradient = gradient + decay * weight
            rate = lr * self.lr_scales[index]
            self.apply_momentum(weight, self.momentum[index], rate, gradient, self.momentum_factor)


class Lamb(_Moments):
    """LAMB (You et al., 2020): AdamW with an update whose norm, for each tensor, is proportional to the weight's norm.

    For each weight, with its own ``lr`` and ``decay``, and the moments of ``AdamW``:
    ``u = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) + decay w``; ``w <- w - lr |w| / |u| u``.
    The trust ratio ``|w| / |u|`` is 1 if either norm is 0, and for weights without decay.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.update_weight = LambUpdate()

    def use_shards(self) -> None:
        """Declares that the parameters are shards: the norm of a tensor is then summed over all ranks."""
        self.update_weight.use_shards()

    def update(self, gradients, lr, step, factor):
        correction1, correction2 = self.corrections(step)
        # Both corrections are in the denominator: on CPU, dividing a tensor takes three times as long as multiplying.
        stretch, eps = correction1 / ops.sqrt(correction2), correction1 * self.eps
        for index in range(len(self.parameters)):
            self.update_weight(
                self.parameters[index],
                self.exp_avg[index],
                self.exp_avg_sq[index],
                gradients[index],
                lr * self.lr_scales[index],
                self.beta1,
                self.beta2,
                stretch,
                eps,
                self.weight_decays[index],
            )


def make_optimizer(
    settings: OptimizerSettings, parameters: Sequence[Parameter], options: Sequence[ParamOptions]
) -> Optimizer:
    """Makes the optimizer of the settings.

    Args:
        settings: settings of the optimizer.
        parameters: the weights to train, in the order of their gradients.
        options: what ``resolve_param_groups`` gave for them; options of other parameters are ignored.
    """
    by_name = {item.name: item for item in options}
    assert not any(by_name[parameter.name].frozen for parameter in parameters), "a parameter to train is frozen"
    lr_scales = [by_name[parameter.name].lr_scale for parameter in parameters]
    weight_decays = [by_name[parameter.name].weight_decay for parameter in parameters]
    if settings.name == "sgd":
        return SGD(parameters, lr_scales, weight_decays, settings.momentum)
    if settings.name == "lamb":
        return Lamb(parameters, lr_scales, weight_decays, settings.betas, settings.eps)
    return AdamW(parameters, lr_scales, weight_decays, settings.betas, settings.eps)

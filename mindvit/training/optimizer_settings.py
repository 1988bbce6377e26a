"""The settings of the optimizer and of its parameter groups."""

from dataclasses import dataclass, field
from typing import Literal

from mindvit.config import setting
from mindvit.models.setting_checks import check_values

OptimizerName = Literal["adamw", "adam", "sgd", "lamb"]


@dataclass(frozen=True)
class ParamRule:
    """Options for the parameters whose names match a pattern."""

    pattern: str
    """Shell pattern of full parameter names, such as transformer.layers.0.* or *.bias."""
    lr_scale: float | None = None
    """Factor of the learning rate."""
    weight_decay: float | None = None
    """Weight decay."""
    frozen: bool | None = None
    """Whether the parameters are frozen."""

    def __post_init__(self) -> None:
        where = f"optimizer.rules: the rule for {self.pattern!r}"
        check_values(self, f"{where}: ")
        if self.lr_scale is None and self.weight_decay is None and self.frozen is None:
            raise ValueError(f"{where} sets nothing; give it lr_scale, weight_decay or frozen")
        if self.lr_scale is not None and self.lr_scale <= 0:
            raise ValueError(
                f"{where} has lr_scale {self.lr_scale}, which must be above 0; to freeze, set frozen: true"
            )
        if self.weight_decay is not None and self.weight_decay < 0:
            raise ValueError(f"{where} has weight_decay {self.weight_decay}, which must not be negative")


@dataclass(frozen=True)
class OptimizerSettings:
    """Optimizer, learning rate, weight decay, parameter groups."""

    name: OptimizerName = "adamw"
    """adamw: Adam with decoupled weight decay; adam: no weight decay; sgd: with momentum; lamb: for large batches."""
    lr: float = 1e-3
    """Peak learning rate."""
    lr_base_batch_size: int | None = None
    """Batch size that lr is for, in images per step of all ranks; lr scales linearly with the actual batch size. null
    disables the scaling."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of the two moments (adamw, adam, lamb)."""
    eps: float = 1e-8
    """Added to the denominator for numerical stability (adamw, adam, lamb)."""
    momentum: float = 0.9
    """Momentum factor (sgd)."""
    weight_decay: float = 0.05
    """Weight decay (adamw, sgd, lamb)."""
    weight_decay_params: Literal["matrices", "all"] = "matrices"
    """Parameters with weight decay. matrices: all but biases, norms, tokens and position embeddings, as in timm and
    Google's code; all: as PyTorch's optimizers do by default."""
    layer_decay: float = 1.0
    """Layer-wise learning-rate decay: factor from each block to the block below it. 1 disables it."""
    layer_decay_norm: Literal["head", "last_block"] = "head"
    """Layer, in layer_decay, of the norm before the pooling. head: factor 1, as in BEiT and MAE; last_block: as in
    timm."""
    clip_norm: float | None = None
    """Maximum global norm of the gradient; larger gradients are scaled down to it. null disables clipping."""
    shard_states: bool = setting(False, changeable=True)
    """Shard the optimizer states over the ranks (ZeRO stage 1): less memory per rank, more communication."""
    linear_probing: bool = False
    """Train the classification head only, and freeze everything else."""
    rules: list[ParamRule] = field(default_factory=list)
    """Rules for parameters by name: a list of {pattern, lr_scale, weight_decay, frozen}. lr_scale of all matching rules
    is multiplied; for the other options the last matching rule wins, also over the settings above."""

    def __post_init__(self) -> None:
        check_values(self, "optimizer.")
        for name in ("lr", "eps", "lr_base_batch_size", "clip_norm"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"optimizer.{name} must be above 0, not {getattr(self, name)}")
        if not all(0 < beta < 1 for beta in self.betas):
            raise ValueError(f"optimizer.betas must lie between 0 and 1, not {list(self.betas)}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"optimizer.momentum must lie in [0, 1), not {self.momentum}")
        if self.weight_decay < 0:
            raise ValueError(f"optimizer.weight_decay must not be negative, not {self.weight_decay}")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"optimizer.layer_decay must be above 0 and at most 1, not {self.layer_decay}")
        decaying = [rule.pattern for rule in self.rules if rule.weight_decay]
        if self.name == "adam" and decaying:
            raise ValueError(
                f"optimizer.rules set a weight_decay for {decaying[0]!r}, but optimizer.name adam has no weight decay; "
                "use adamw"
            )

    @property
    def decay(self) -> float:
        """The weight decay of the optimizer: 0 for adam."""
        return 0.0 if self.name == "adam" else self.weight_decay

    def peak_lr(self, batch_size: int) -> float:
        """The peak learning rate for a batch size, in images per step of all ranks."""
        return self.lr if self.lr_base_batch_size is None else self.lr * batch_size / self.lr_base_batch_size

"""Formulas for the memory of a training step on each device, and for the data it communicates.

Symbols: P parameters; N ranks; B images per forward pass; T tokens of an image; D embedding dimension; M mlp_dim; H
heads; L blocks; b bytes per number in the computation of the network, 4 in float32 and 2 at AMP level O2.
``docs/distributed.md`` compares the terms with the literature and with measurements. ``tests/ascend/test_memory.py``
holds the total to MindSpore's plan for an Ascend.
"""

import math
from dataclasses import dataclass
from typing import Literal

from mindvit.analysis.counting import parameter_count
from mindvit.models.setting_checks import check_values
from mindvit.models.vit_config import ViTConfig
from mindvit.ops.dropout import num_kept_patches

AmpLevel = Literal["O0", "O2"]

# Moments per parameter.
_MOMENTS = {"adamw": 2, "adam": 2, "lamb": 2, "sgd": 1}
_BYTES = {"O0": 4, "O2": 2}
_FLOAT32_BYTES = 4
_FUSED_ROW_BYTES = 8 * _FLOAT32_BYTES
"""The fused operator of Ascend stores 8 numbers for the maximum, and for the sum, of a row of scores."""


@dataclass(frozen=True)
class StepConfig:
    """The settings of a training step that determine its memory and communication.

    Raises:
        ValueError: for an invalid setting.
    """

    batch_size: int
    """Images per forward pass on each rank (the size of a micro-batch)."""
    optimizer: Literal["adamw", "adam", "lamb", "sgd"] = "adamw"
    """adamw, adam and lamb keep two moments per parameter, sgd one."""
    amp_level: AmpLevel = "O0"
    """O0: float32; O2: float16 or bfloat16, with parameters and norms in float32."""
    world_size: int = 1
    """Number of ranks; each has one device."""
    accumulate_steps: int = 1
    """Micro-batches per step. Above 1, the accumulated gradients are a second copy of the gradients."""
    ema: bool = False
    """Whether an exponential moving average of the weights is kept."""
    shard_states: bool = False
    """Whether the optimizer states are sharded over the ranks (ZeRO stage 1); no effect with one rank."""
    recompute: bool = False
    """Whether each block stores only its input, and is computed again in the backward pass."""
    clips: bool = False
    """Whether the norm of the gradient is clipped. Its squares are then freed before the gradients are scaled."""
    fused_attention: bool | None = None
    """Whether attention is the fused operator, which does not store the attention weights. None: at O2."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "world_size", "accumulate_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        check_values(self)

    @property
    def is_fused(self) -> bool:
        """Whether attention is the fused operator."""
        return self.amp_level == "O2" if self.fused_attention is None else self.fused_attention

    @property
    def is_sharded(self) -> bool:
        """Whether the optimizer states are sharded over more than one rank."""
        return self.shard_states and self.world_size > 1


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on each device, and bytes that each rank sends (and receives) per step."""

    weights: int
    """Float32, ``4 P``."""
    optimizer_states: int
    """``4 k P`` for k moments; sharded ``4 (k + 1) ceil(P / N)``: shards of the moments and of the updated weights."""
    ema: int
    """``4 P``, or 0."""
    amp_copies: int
    """Copies of the weights in the AMP dtype at O2, ``2 P``, or 0."""
    gradient_sums: int
    """Sums over micro-batches, ``4 P``, or 0."""
    gradients: int
    """Float32, ``12 P``: the gradients, their squares for the norm, and the gradients times a factor. ``8 P`` with
    clipping, where the factor depends on the norm."""
    images: int
    """The batch, float32."""
    activations: int | None
    """Tensors stored for the backward pass, and what the backward pass of one block computes; None for hybrids and
    local attention, for which there is no formula."""
    communication: int
    """Bytes that a rank sends per step; see ``communication_bytes``."""

    @property
    def total(self) -> int | None:
        """Greatest memory at one time; None if ``activations`` is None.

        Not the sum: the gradients are squared and scaled after all activations are freed. During the backward pass
        they are smaller than the activations that they replace.
        """
        if self.activations is None:
            return None
        held = (self.weights, self.optimizer_states, self.ema, self.amp_copies, self.gradient_sums, self.images)
        return sum(held) + max(self.gradients, self.activations)


def estimate_memory(config: ViTConfig, step: StepConfig) -> MemoryEstimate:
    """Estimates the memory and the communication of a training step of a network.

    Not counted: the loss, a teacher, the SWA weights, the network that evaluates the EMA, libraries, buffers and
    workspaces of the device, and fragmentation. Frozen parameters, which have neither gradients nor optimizer states,
    count as trainable ones.
    """
    parameters, moments = parameter_count(config), _MOMENTS[step.optimizer]
    weights, shard = _FLOAT32_BYTES * parameters, _FLOAT32_BYTES * -(-parameters // step.world_size)
    return MemoryEstimate(
        weights=weights,
        optimizer_states=(moments + 1) * shard if step.is_sharded else moments * weights,
        ema=weights * step.ema,
        amp_copies=weights // 2 * (step.amp_level == "O2"),
        gradient_sums=weights * (step.accumulate_steps > 1),
        gradients=(2 if step.clips else 3) * weights,
        images=step.batch_size
        * step.accumulate_steps
        * _FLOAT32_BYTES
        * config.in_channels
        * math.prod(config.image_shape),
        activations=_activations(config, step),
        communication=communication_bytes(parameters, step.world_size, step.shard_states),
    )


def communication_bytes(parameters: int, world_size: int, shard_states: bool = False) -> int:
    """Bytes that each rank sends per step with ring collectives; it receives the same amount.

    The all-reduce of the gradients, in float32, takes ``2 (N - 1) / N * 4 P``. With ``shard_states`` an all-gather of
    the updated weights adds ``(N - 1) / N * 4 P``. (A reduce-scatter instead of the all-reduce would save the same
    amount: ZeRO stage 1 sends no more than plain data parallelism.) The volume per rank of a ring hardly depends on N;
    the number of messages, and therefore the latency, does.

    Args:
        parameters: P.
        world_size: N.
        shard_states: whether the optimizer states are sharded over the ranks.
    """
    rounds = 3 if shard_states else 2
    return rounds * (world_size - 1) * _FLOAT32_BYTES * parameters // world_size


def communication_seconds(sent: int, bandwidth: float) -> float:
    """Duration of the communication in seconds, bytes / bandwidth, without overlap with computation.

    Args:
        sent: bytes, as returned by ``communication_bytes``.
        bandwidth: bandwidth of the slowest link of the ring, in bytes per second and direction.
    """
    return sent / bandwidth


def block_activations(config: ViTConfig, amp_level: AmpLevel = "O0", fused_attention: bool = False) -> int:
    """Bytes that one block stores per image for its backward pass.

    Two norms: inputs and outputs ``4 b T D``, mean and deviation of each token ``2 * 8 T``; the outputs are the inputs
    of dense layers. Attention: query, key and value ``3 b T D``, joint output of the heads ``b T D``, and output of the
    softmax ``b H T^2`` (its gradient does not need the scores), or, if it is fused, maximum and sum of each row
    ``64 H T`` (8 numbers each). Feed-forward layer: hidden layer before and after GELU, ``2 b T M``. Residual sums
    store nothing, because each is the input of the next norm.
    """
    width, hidden, heads, tokens, size = _dimensions(config, amp_level)
    token_matrix, scores = size * tokens * width, size * heads * tokens**2
    total = 2 * _norm(tokens, width, size) + 6 * token_matrix + 2 * size * tokens * hidden
    total += 2 * _FUSED_ROW_BYTES * heads * tokens if fused_attention else scores
    if config.layer_scale is not None:
        total += 2 * token_matrix
    if config.qk_norm:
        total += 2 * _norm(tokens * heads, config.head_dim, size)
    if config.dropout:
        # The masks of both outputs and of the hidden layer; the hidden layer is stored after dropout.
        total += 2 * token_matrix + size * tokens * hidden
    if config.attention_dropout:
        total += 2 * scores
    if config.block_dropout:
        total += token_matrix
    return total


def _activations(config: ViTConfig, step: StepConfig) -> int | None:
    if config.stem is not None or config.window_size is not None:
        return None
    width, hidden, _, tokens, size = _dimensions(config, step.amp_level)
    block = block_activations(config, step.amp_level, step.is_fused)
    blocks = config.depth * size * tokens * width + block if step.recompute else config.depth * block
    patches = size * config.num_patches * config.in_channels * config.patch_size**2
    # The peak is in the last block: the activations after it are freed, and so is its hidden layer after GELU. The
    # gradients of both hidden layers and of the residual stream are there.
    backward = size * tokens * (hidden + width)
    return step.batch_size * (patches + blocks + backward)


def _dimensions(config: ViTConfig, amp_level: AmpLevel) -> tuple[int, int, int, int, int]:
    """D, M, H, T and b."""
    tokens = config.prefix_tokens + num_kept_patches(config.num_patches, config.patch_dropout)
    return config.embed_dim, config.mlp_dim, config.num_heads, tokens, _BYTES[amp_level]


def _norm(rows: int, width: int, size: int) -> int:
    """Bytes of the input of a layer norm, and of the mean and deviation of each row, which are float32."""
    return rows * (size * width + 2 * _FLOAT32_BYTES)

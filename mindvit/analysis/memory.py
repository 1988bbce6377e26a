"""What a training step keeps in the memory of each device, and what it sends, by formula.

Symbols: P weights; N workers; B images that go through the network at once; T tokens of an image, of width D; M
mlp_dim; H heads; L blocks; b bytes of a number that the network computes with, 4 in float32 and 2 under O2.
``docs/distributed.md`` compares the terms with the literature's and with what was measured.
"""

from dataclasses import dataclass
from typing import Literal

from mindvit.analysis.counting import parameter_count
from mindvit.models.dropout import patches_kept
from mindvit.models.vit_config import ViTConfig

# Numbers that each optimizer keeps for every weight.
_SLOTS = {"adamw": 2, "adam": 2, "lamb": 2, "sgd": 1}
_BYTES = {"O0": 4, "O2": 2}
_FLOAT = 4


@dataclass(frozen=True)
class Job:
    """What bears on memory and communication beside the network.

    Raises:
        ValueError: naming what does not fit.
    """

    batch_size: int
    """Images that go through the network at once on each worker: those of one accumulated part."""
    optimizer: Literal["adamw", "adam", "lamb", "sgd"] = "adamw"
    """adamw, adam and lamb keep two moments of each weight, sgd one."""
    precision: Literal["O0", "O2"] = "O0"
    """O0: float32; O2: half precision (float16 or bfloat16), with weights and norms in float32."""
    workers: int = 1
    """Devices that share the job, one worker each."""
    accumulate_steps: int = 1
    """Parts of a step's batch; with more than one there is a second copy of the gradient, their sum."""
    ema: bool = False
    """Whether an exponential average of the weights is kept."""
    shard_states: bool = False
    """Whether the optimizer's state is divided over the workers; on one worker there is nothing to divide."""
    recompute: bool = False
    """Whether each block keeps its input alone and is computed once more in the backward pass."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "workers", "accumulate_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name, choices in (("optimizer", tuple(_SLOTS)), ("precision", tuple(_BYTES))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")

    @property
    def is_sharded(self) -> bool:
        """Whether the optimizer's state is in fact divided."""
        return self.shard_states and self.workers > 1


@dataclass(frozen=True)
class Footprint:
    """Bytes on each device, and bytes that each worker sends (and receives) in a step."""

    weights: int
    """Float32, ``4 P``."""
    gradients: int
    """Float32, ``4 P``; with accumulation ``8 P``."""
    optimizer: int
    """``4 k P`` for k moments; divided, ``4 (k + 1) ceil(P / N)``: their share, and that of the weights they update."""
    ema: int
    """``4 P``, or 0."""
    half_copies: int
    """The weights as the network computes with them under O2, ``2 P``, or 0."""
    activations: int | None
    """What is kept for the backward pass; None for a hybrid or a network with a window, which are not derived here."""
    communication: int
    """What a worker sends in a step; see ``communication_bytes``."""

    @property
    def total(self) -> int | None:
        """The sum of all memory, None where the activations are."""
        if self.activations is None:
            return None
        return self.weights + self.gradients + self.optimizer + self.ema + self.half_copies + self.activations


def footprint(config: ViTConfig, job: Job) -> Footprint:
    """What a step of this network keeps and sends.

    Left out: tensors that live within one operation or one block's backward pass, the loss, a teacher, the averages of
    SWA, the device's own libraries and buffers, and what the allocator loses. Frozen weights, which have neither
    gradients nor state, count as trained.
    """
    parameters, slots = parameter_count(config), _SLOTS[job.optimizer]
    weights, share = _FLOAT * parameters, _FLOAT * -(-parameters // job.workers)
    return Footprint(
        weights=weights,
        gradients=weights * (1 if job.accumulate_steps == 1 else 2),
        optimizer=(slots + 1) * share if job.is_sharded else slots * weights,
        ema=weights * job.ema,
        half_copies=weights // 2 * (job.precision == "O2"),
        activations=_activations(config, job),
        communication=communication_bytes(parameters, job.workers, job.shard_states),
    )


def communication_bytes(parameters: int, workers: int, shard_states: bool = False) -> int:
    """Bytes that each worker sends in a step, and as many that it receives, with collectives in a ring.

    The gradients' all-reduce, in float32, takes ``2 (N - 1) / N * 4 P``. With ``shard_states`` an all-gather of the
    updated weights follows, ``(N - 1) / N * 4 P`` more. (A reduce-scatter in place of the all-reduce would save as
    much again: ZeRO's stage 1 sends no more than plain data parallelism.) A ring's volume per worker hardly grows with
    N; the number of its messages, and so its latency, does.

    Args:
        parameters: P.
        workers: N.
        shard_states: whether the optimizer's state is divided over them.
    """
    rounds = 3 if shard_states else 2
    return rounds * (workers - 1) * _FLOAT * parameters // workers


def communication_seconds(sent: int, bandwidth: float) -> float:
    """Seconds that it takes to send so many bytes, where nothing is computed meanwhile: bytes / bandwidth.

    Args:
        sent: bytes, as ``communication_bytes`` gives them.
        bandwidth: bytes a second that leave a worker over the slowest link of the ring.
    """
    return sent / bandwidth


def block_activations(config: ViTConfig, precision: str = "O0") -> int:
    """Bytes that one block keeps of one image for its backward pass.

    Two norms: inputs ``2 * 4 T D`` (float32 also under O2), mean and deviation of each token ``2 * 8 T``, outputs
    ``2 b T D``, which the dense layers take. Attention: queries, keys and values ``3 b T D``, the softmax's output
    ``b H T^2`` (its gradient needs no scores), the heads' joint output ``b T D``. Feed-forward: the hidden layer before
    and after GELU, ``2 b T M``. The residual sums keep nothing: each is the next norm's input.
    """
    width, hidden, heads, tokens, size = _sizes(config, precision)
    row, pairs = size * tokens * width, size * heads * tokens**2
    total = 2 * _norm(tokens, width) + 6 * row + pairs + 2 * size * tokens * hidden
    if config.layer_scale is not None:
        total += 2 * row
    if config.qk_norm:
        total += 2 * _norm(tokens * heads, config.head_dim)
    if config.dropout:
        # The masks of both outputs and of the hidden layer, which is kept as it was dropped.
        total += 2 * row + size * tokens * hidden
    if config.attention_dropout:
        total += 2 * pairs
    if config.block_dropout:
        total += row
    return total


def _activations(config: ViTConfig, job: Job) -> int | None:
    if config.stem is not None or config.window_size is not None:
        return None
    width, _, heads, tokens, size = _sizes(config, job.precision)
    block = block_activations(config, job.precision)
    blocks = config.depth * size * tokens * width + block if job.recompute else config.depth * block
    height, wide = config.image_shape
    pixels = _FLOAT * config.in_channels * height * wide
    patches = size * config.num_patches * config.in_channels * config.patch_size**2
    after = 0 if config.pool == "mean_norm" else _norm(tokens, width)
    if config.pool == "map":
        after += 3 * size * tokens * width + size * heads * tokens
    if config.dropout:
        after += size * tokens * width
    return job.batch_size * (pixels + patches + blocks + after)


def _sizes(config: ViTConfig, precision: str) -> tuple[int, int, int, int, int]:
    """D, M, H, T and b."""
    tokens = config.prefix_tokens + patches_kept(config.num_patches, config.patch_dropout)
    return config.embed_dim, config.mlp_dim, config.num_heads, tokens, _BYTES[precision]


def _norm(rows: int, width: int) -> int:
    """A layer norm's input, and the mean and deviation of each row; all float32."""
    return _FLOAT * rows * (width + 2)

"""The Vision Transformer of MindSpore's tutorial in plain cells of MindSpore, to compare launches and memory with.

It holds nothing of this project: ``nn.Dense``, ``nn.LayerNorm``, ``nn.GELU``, ``nn.Softmax``, ``nn.Dropout``,
``nn.AdamWeightDecay`` over all parameters, mixed precision by ``mindspore.amp``, no clipping, no loss scaling.
"""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, amp, nn, ops
from mindspore.common.initializer import Normal, initializer

from mindvit.dry_run.compile_jobs import CompileJob
from mindvit.dry_run_worker.own_graph import Graph, describe, jit_level, make_images, number_of_classes
from mindvit.errors import UserError
from mindvit.factory import resolve_config
from mindvit.models.vit_config import ViTConfig
from mindvit.runtime import Runtime, choose_amp_level
from mindvit.training.recipe import Recipe

_DROPOUT = 0.0
"""The tutorial has dropout cells, but its default rate is 0, so they compile to nothing."""
_SMOOTHING = 0.1


class TutorialAttention(nn.Cell):
    """Multi-head self-attention. Input and output: (batch, tokens, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = Tensor((width // heads) ** -0.5)
        self.qkv = nn.Dense(width, 3 * width)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.softmax = nn.Softmax(axis=-1)
        self.attention_dropout = nn.Dropout(p=_DROPOUT)
        self.weighted_sum = ops.BatchMatMul()
        self.out = nn.Dense(width, width)
        self.out_dropout = nn.Dropout(p=_DROPOUT)

    def construct(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).transpose(2, 0, 3, 1, 4)
        query, key, value = ops.unstack(qkv, axis=0)
        weights = self.attention_dropout(self.softmax(self.scores(query, key) * self.scale))
        out = self.weighted_sum(weights, value).transpose(0, 2, 1, 3).reshape(batch, tokens, width)
        return self.out_dropout(self.out(out))


class TutorialFeedForward(nn.Cell):
    """Two dense layers. Input and output: (batch, tokens, width)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.dense1 = nn.Dense(width, hidden)
        self.activation = nn.GELU()
        self.dropout1 = nn.Dropout(p=_DROPOUT)
        self.dense2 = nn.Dense(hidden, width)
        self.dropout2 = nn.Dropout(p=_DROPOUT)

    def construct(self, x):
        return self.dropout2(self.dense2(self.dropout1(self.activation(self.dense1(x)))))


class TutorialBlock(nn.Cell):
    """A block: attention and feed-forward, each after a norm and around a residual."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm((width,))
        self.attention = TutorialAttention(width, heads)
        self.norm2 = nn.LayerNorm((width,))
        self.feed_forward = TutorialFeedForward(width, hidden)

    def construct(self, x):
        x = self.attention(self.norm1(x)) + x
        return self.feed_forward(self.norm2(x)) + x


class TutorialViT(nn.Cell):
    """The network. Input: images (batch, 3, height, width). Output: logits (batch, classes)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width, patch = config.embed_dim, config.patch_size
        self.patches = nn.Conv2d(config.in_channels, width, kernel_size=patch, stride=patch, has_bias=True)
        tokens = (config.image_shape[0] // patch) * (config.image_shape[1] // patch) + 1
        self.cls = Parameter(initializer(Normal(1.0), (1, 1, width), ms.float32))
        self.pos_embedding = Parameter(initializer(Normal(1.0), (1, tokens, width), ms.float32))
        self.pos_dropout = nn.Dropout(p=_DROPOUT)
        self.blocks = nn.SequentialCell(
            [TutorialBlock(width, config.num_heads, config.mlp_dim) for _ in range(config.depth)]
        )
        self.norm = nn.LayerNorm((width,))
        self.head_dropout = nn.Dropout(p=_DROPOUT)
        self.dense = nn.Dense(width, config.num_classes)

    def construct(self, images):
        x = self.patches(images)
        batch, width, height, columns = x.shape
        x = x.reshape(batch, width, height * columns).transpose(0, 2, 1)
        cls = ops.tile(self.cls.astype(x.dtype), (batch, 1, 1))
        x = ops.concat((cls, x), axis=1) + self.pos_embedding
        x = self.norm(self.blocks(self.pos_dropout(x)))[:, 0]
        if self.training:
            x = self.head_dropout(x)
        return self.dense(x)


class TutorialLoss(nn.Cell):
    """Cross-entropy with label smoothing over the other classes. Inputs: logits (batch, classes), labels (batch,)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.on_value = Tensor(1.0 - _SMOOTHING, ms.float32)
        self.off_value = Tensor(_SMOOTHING / max(classes - 1, 1), ms.float32)
        self.cross_entropy = nn.SoftmaxCrossEntropyWithLogits()

    def construct(self, logits, labels):
        targets = ops.one_hot(labels, self.classes, self.on_value, self.off_value)
        return ops.mean(self.cross_entropy(logits, targets), 0)


def tutorial_graph(recipe: Recipe, job: CompileJob, ranks: int) -> Graph:
    """Builds the tutorial's training step or forward pass at the sizes of a recipe's model.

    Raises:
        UserError: with several ranks, which the tutorial does not have, or an unknown model.
    """
    if ranks > 1:
        raise UserError("--network stock compiles for one rank, as the tutorial trains; leave out --ranks")
    config = resolve_config(
        recipe.model.name, num_classes=number_of_classes(recipe, job.num_classes), **recipe.model.overrides()
    )
    level = choose_amp_level(recipe.runtime.amp_level, "Ascend")
    network = TutorialViT(config)
    runtime = Runtime("Ascend", level, jit_level=jit_level(recipe, job))
    batch = recipe.data.batch_size
    images = make_images(config, batch)
    facts = describe(recipe, network, config, batch, runtime)
    if job.step == "eval":
        return Graph(amp.auto_mixed_precision(network, level).set_train(False), (images,), facts)
    rates = np.linspace(5e-5, 0.0, 2_000, dtype=np.float32).tolist()
    optimizer = nn.AdamWeightDecay(network.trainable_params(), learning_rate=rates)
    step = amp.build_train_network(network, optimizer, TutorialLoss(config.num_classes), level, loss_scale_manager=None)
    return Graph(step.set_train(), (images, Tensor(np.zeros(batch, np.int32))), facts)

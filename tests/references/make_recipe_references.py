"""Makes recipes.json: learning rates, parameter groups and losses by the programs that the recipes name as sources.

The script needs PyTorch, torchvision, timm, Transformers and MindSpore. Run it from the folder of the project, in a
separate environment:
    python -m tests.references.make_recipe_references
The committed file was made by PyTorch 2.13.0 (CPU), timm 1.0.31, Transformers 5.23.0 and MindSpore 2.10.0.

What runs here is each library's own scheduler, called as the source's training script calls it, and each library's own
rule for parameter groups. The formulas of Google's JAX code and of MAE's and DeiT's scripts are written out, with where
they are from. Content of the file:
    rates/<recipe>     steps_per_epoch, total_steps, and pairs of a step and its learning rate (float64); or the name of
                       the recipe that has the same ones
    groups/<recipe>    [factor of the learning rate, weight decay, names of the parameters], for a network of 3 blocks
                       under timm's names
    schedules/<case>   the arguments of timm's scheduler, and the learning rate of each step
    losses             logits, labels, dense labels and the losses of timm and PyTorch for them
"""

import json
import math
import sys
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import torch
from torch import library as operators

# torchvision's compiled operators do not load beside a CPU build of PyTorch, and timm needs none of them.
_OPERATORS = operators.Library("torchvision", "DEF")
_OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import mindspore  # noqa: E402
import timm  # noqa: E402
import transformers  # noqa: E402
from timm.data.mixup import mixup_target  # noqa: E402
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy  # noqa: E402
from timm.optim import create_optimizer_v2, param_groups_layer_decay  # noqa: E402
from timm.scheduler import create_scheduler_v2  # noqa: E402
from torch import nn  # noqa: E402
from torch.optim import lr_scheduler  # noqa: E402
from torchvision.ops import sigmoid_focal_loss  # noqa: E402

TARGET = Path(__file__).with_name("recipes.json")
IMAGENET, CIFAR, FOLDER = 1_281_167, 50_000, 2_000
DEPTH = 3
# timm's models, with fewer blocks. The tables of positions of vit_tiny and so on have no other parameters.
CLASSIFIER, DEIT3, DISTILLED = "vit_tiny_patch16_224", "deit3_small_patch16_224", "deit_tiny_distilled_patch16_224"


def optimizer_at(lr):
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)


def rate_of(optimizer):
    return optimizer.param_groups[0]["lr"]


def sampled(per_step, steps_per_epoch, total_steps):
    """Steps at the start, in the middle and at the end of some epochs, and their learning rates."""
    epochs = range(-(-total_steps // steps_per_epoch))
    chosen = [epoch for epoch in epochs if epoch < 9 or epoch % 40 == 0 or epoch >= len(epochs) - 2]
    within = sorted({0, steps_per_epoch // 2, steps_per_epoch - 1})
    steps = [epoch * steps_per_epoch + step for epoch in chosen for step in within]
    steps = [step for step in steps if step < total_steps]
    return {
        "steps_per_epoch": steps_per_epoch,
        "total_steps": total_steps,
        "rates": [[step, per_step(step)] for step in steps],
    }


def by_epoch(rates, steps_per_epoch):
    return sampled(lambda step: rates[step // steps_per_epoch], steps_per_epoch, len(rates) * steps_per_epoch)


def deit(lr, epochs, steps_per_epoch):
    """DeiT's main.py: timm's create_scheduler with its defaults, and lr_scheduler.step(epoch) after epoch ``epoch``."""
    optimizer = optimizer_at(lr)
    scheduler, _ = create_scheduler_v2(
        optimizer, "cosine", num_epochs=epochs, min_lr=1e-5, warmup_lr=1e-6, warmup_epochs=5, cooldown_epochs=10
    )
    rates = []
    for epoch in range(epochs):
        rates.append(rate_of(optimizer))
        scheduler.step(epoch)
    return by_epoch(rates, steps_per_epoch)


def google(lr, warmup, steps_per_epoch, total_steps):
    """create_learning_rate_schedule of vision_transformer (vit_jax/utils.py) and of big_vision (utils.py), cosine."""

    def per_step(step):
        progress = min(max((step - warmup) / (total_steps - warmup), 0.0), 1.0)
        rate = lr * 0.5 * (1.0 + math.cos(math.pi * progress))
        return rate * min(1.0, step / warmup) if warmup else rate

    return sampled(per_step, steps_per_epoch, total_steps)


def mae(lr, min_lr, warmup_epochs, epochs, steps_per_epoch):
    """adjust_learning_rate of MAE (util/lr_sched.py), called at each step with the epoch as a fraction."""

    def per_step(step):
        epoch = step / steps_per_epoch
        if epoch < warmup_epochs:
            return lr * epoch / warmup_epochs
        progress = (epoch - warmup_epochs) / (epochs - warmup_epochs)
        return min_lr + (lr - min_lr) * 0.5 * (1.0 + math.cos(math.pi * progress))

    return sampled(per_step, steps_per_epoch, epochs * steps_per_epoch)


def mindspore_cosine(lr, epochs, steps_per_epoch):
    """As in the tutorial."""
    total_steps = epochs * steps_per_epoch
    rates = mindspore.nn.cosine_decay_lr(0.0, lr, total_steps, steps_per_epoch, decay_epoch=epochs)
    return sampled(rates.__getitem__, steps_per_epoch, total_steps)


def torch_epochs(lr, epochs, steps_per_epoch, make):
    """A scheduler of PyTorch, called after each epoch."""
    optimizer = optimizer_at(lr)
    scheduler, rates = make(optimizer), []
    for _ in range(epochs):
        rates.append(rate_of(optimizer))
        optimizer.step()
        scheduler.step()
    return by_epoch(rates, steps_per_epoch)


def torch_linear(lr, warmup, steps_per_epoch, total_steps):
    optimizer = optimizer_at(lr)
    scheduler, rates = transformers.get_linear_schedule_with_warmup(optimizer, warmup, total_steps), []
    for _ in range(total_steps):
        rates.append(rate_of(optimizer))
        optimizer.step()
        scheduler.step()
    return sampled(rates.__getitem__, steps_per_epoch, total_steps)


def vit_cifar(lr, min_lr, epochs, steps_per_epoch):
    """ViT-CIFAR's main.py: pytorch-gradual-warmup-lr around PyTorch's cosine, called after each epoch.

    GradualWarmupScheduler gives ``lr epoch / 5`` up to epoch 5 (the peak). In epoch 6 it takes the cosine's present
    rate, the peak again, and only from then on does it call the cosine.
    """
    optimizer = optimizer_at(lr)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs, eta_min=min_lr)
    rates = [lr * epoch / 5 for epoch in range(6)]
    while len(rates) < epochs:
        rates.append(rate_of(optimizer))
        optimizer.step()
        cosine.step()
    return by_epoch(rates, steps_per_epoch)


def step_lr(optimizer):
    return lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)


def make_rates():
    others = ("deit_s_16", "deit_b_16", *(f"deit_{size}_distilled_16" for size in ("ti", "s", "b")))
    return {
        "article_cifar10_swa.yaml": torch_epochs(
            1e-3, 20, CIFAR // 32, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
        ),
        "article_finetune.yaml": torch_linear(3e-5, 500, FOLDER // 16, 10_000),
        "article_finetune.yaml, second command": torch_epochs(3e-5, 5, FOLDER // 16, step_lr),
        "augreg_b_16.yaml": google(1e-3, 10_000, IMAGENET // 4096, 300 * (IMAGENET // 4096)),
        "cifar10_from_scratch.yaml": vit_cifar(1e-3, 1e-5, 200, CIFAR // 128),
        "deit3_b_16.yaml": deit(3e-3, 800, IMAGENET // 2048),
        "deit3_finetune_b_16.yaml": deit(1e-5, 20, IMAGENET // 512),
        "deit3_s_16.yaml": deit(4e-3, 800, IMAGENET // 2048),
        "deit_ti_16.yaml": deit(5e-4 * 1024 / 512, 300, IMAGENET // 1024),
        **{f"{name}.yaml": "deit_ti_16.yaml" for name in others},
        # These four are this project's, with the arithmetic of Google's code.
        "digits.yaml": google(1.5e-3, 5 * 22, 22, 60 * 22),
        "finetune_digits.yaml": google(2e-3, 5 * 5, 5, 60 * 5),
        "pretrain_digits.yaml": google(1.5e-3, 5 * 11, 11, 60 * 11),
        "own_images_small.yaml": google(1e-3, 5 * (FOLDER // 16), FOLDER // 16, 40 * (FOLDER // 16)),
        "finetune_own_images.yaml": mae(5e-4 * 32 / 256, 1e-6, 1, 20, FOLDER // 32),
        "plain_vit_s_16.yaml": google(1e-3, 10_000, IMAGENET // 1024, 90 * (IMAGENET // 1024)),
        "vit_b_16_224_tutorial.yaml": mindspore_cosine(5e-5, 10, FOLDER // 16),
        "vit_finetune_cifar10.yaml": google(0.03, 500, CIFAR // 512, 10_000),
        "vit_finetune_cifar100.yaml": "vit_finetune_cifar10.yaml",
        "vit_finetune_imagenet.yaml": google(0.03, 500, IMAGENET // 512, 20_000),
    }


def network(name, **options):
    return timm.create_model(name, depth=DEPTH, **options)


def grouped(entries):
    """Entries of (name, factor, weight decay) by their values."""
    groups = {}
    for name, scale, decay in entries:
        groups.setdefault((scale, decay), []).append(name)
    return [[scale, decay, names] for (scale, decay), names in groups.items()]


def groups_of(model, param_groups):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return grouped(
        (names[id(parameter)], group.get("lr_scale", 1.0), group["weight_decay"])
        for group in param_groups
        for parameter in group["params"]
    )


def timm_groups(model, decay):
    """create_optimizer_v2, which has the rule of timm 0.3.2 that DeiT's code needs: no 1-D tensor, no bias, no listed.

    DeiT's own models and timm 0.3.2 list two tensors, so DeiT decays its distillation token; timm lists it today.
    """
    model.no_weight_decay = lambda: {"pos_embed", "cls_token"}
    return groups_of(model, create_optimizer_v2(model, opt="adamw", lr=1.0, weight_decay=decay).param_groups)


def mae_groups(model, decay, layer_decay):
    """param_groups_lrd of MAE (util/lr_decay.py), after BEiT: timm's groups, except that the norms after the blocks are
    in the layer of the head."""
    made = groups_of(model, timm_layer_groups(model, decay, layer_decay))
    entries = [(name, scale, decay) for scale, decay, names in made for name in names]
    return grouped(
        (name, 1.0 if name.startswith(("norm.", "fc_norm.")) else scale, decay) for name, scale, decay in entries
    )


def timm_layer_groups(model, decay, layer_decay):
    return param_groups_layer_decay(model, decay, no_weight_decay_list=model.no_weight_decay(), layer_decay=layer_decay)


def kernel_groups(model, decay):
    """big_vision/optax.py: weight decay is for ``.*/kernel$``, the weights of dense layers and convolutions."""
    kernels = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    return grouped((name, 1.0, decay if name in kernels else 0.0) for name, _ in model.named_parameters())


def torch_groups(model, decay):
    """An optimizer of PyTorch, given all parameters."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=decay)
    return groups_of(model, optimizer.param_groups)


def plain_vit():
    """big_vision's ViT with sincos2d positions, pooling by the mean, and a layer before the head."""
    model = network(CLASSIFIER, class_token=False, global_pool="avg", fc_norm=False)
    model.pos_embed = None
    model.pre_logits = nn.Sequential(OrderedDict(fc=nn.Linear(192, 192)))
    return model


def make_groups():
    vit, distilled = network(CLASSIFIER), network(DISTILLED)
    sizes = ("ti", "s", "b")
    none, kernels = torch_groups(vit, 0.0), kernel_groups(vit, 0.1)
    deit_groups, deit3 = timm_groups(network(CLASSIFIER), 0.05), timm_groups(network(DEIT3), 0.05)
    return {
        "article_cifar10_swa.yaml": none,
        "article_finetune.yaml": torch_groups(vit, 0.01),
        "augreg_b_16.yaml": kernels,
        # The source has 5e-5 of the other kind of weight decay, which the recipe omits.
        "cifar10_from_scratch.yaml": none,
        "deit3_b_16.yaml": deit3,
        "deit3_finetune_b_16.yaml": timm_groups(network(DEIT3), 0.1),
        "deit3_s_16.yaml": deit3,
        **{f"deit_{size}_16.yaml": deit_groups for size in sizes},
        **{f"deit_{size}_distilled_16.yaml": timm_groups(distilled, 0.05) for size in sizes},
        "digits.yaml": deit_groups,
        "finetune_digits.yaml": mae_groups(vit, 0.05, 0.75),
        "pretrain_digits.yaml": deit_groups,
        "own_images_small.yaml": deit_groups,
        "finetune_own_images.yaml": mae_groups(vit, 0.05, 0.65),
        "plain_vit_s_16.yaml": kernel_groups(plain_vit(), 0.1),
        "vit_b_16_224_tutorial.yaml": none,
        "vit_finetune_cifar10.yaml": none,
        "vit_finetune_cifar100.yaml": none,
        "vit_finetune_imagenet.yaml": none,
        # timm's own layers, for models with the norm before and after the pooling.
        "timm, norm before pooling": groups_of(vit, timm_layer_groups(vit, 0.05, 0.75)),
        "timm, norm after pooling": fc_norm_groups(),
    }


def fc_norm_groups():
    model = network(CLASSIFIER, class_token=False, global_pool="avg")
    return groups_of(model, timm_layer_groups(model, 0.05, 0.75))


# timm's train.py: the epoch's learning rate is set by step(epoch) before it, or that of each update by step_update.
TIMM_SCHEDULES = {
    "cosine per epoch": {"sched": "cosine", "num_epochs": 6, "warmup_epochs": 2, "min_lr": 0.01},
    "cosine per update": {"sched": "cosine", "num_epochs": 6, "warmup_epochs": 2, "min_lr": 0.01, "updates": True},
    "cosine after the warmup": {"sched": "cosine", "num_epochs": 6, "warmup_epochs": 2, "warmup_prefix": True},
    "cosine with a cooldown": {"sched": "cosine", "num_epochs": 6, "warmup_epochs": 2, "cooldown_epochs": 3},
    "step per epoch": {"sched": "step", "num_epochs": 9, "warmup_epochs": 2, "decay_epochs": 3},
    "step per update": {"sched": "step", "num_epochs": 9, "warmup_epochs": 2, "decay_epochs": 3, "updates": True},
    "step after the warmup": {
        "sched": "step",
        "num_epochs": 9,
        "warmup_epochs": 2,
        "decay_epochs": 3,
        "warmup_prefix": 1,
    },
}


def timm_schedule(updates=False, **arguments):
    optimizer, steps_per_epoch = optimizer_at(0.5), 4
    scheduler, epochs = create_scheduler_v2(
        optimizer, warmup_lr=0.05, step_on_epochs=not updates, updates_per_epoch=steps_per_epoch, **arguments
    )
    rates = []
    for epoch in range(epochs):
        if not updates:
            scheduler.step(epoch)
        for step in range(epoch * steps_per_epoch, (epoch + 1) * steps_per_epoch):
            if updates:
                scheduler.step_update(step)
            rates.append(rate_of(optimizer))
    return {"arguments": arguments | {"updates": updates}, "rates": rates}


def make_losses():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((4, 5), generator=generator, dtype=torch.float64)
    labels, smoothing, share = torch.tensor([3, 0, 4, 1]), 0.1, 0.3
    dense = mixup_target(labels, 5, share).double()
    mixed = mixup_target(labels, 5, share, smoothing).double()
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0, 0.25], dtype=torch.float64)
    weighted = nn.CrossEntropyLoss(weights, label_smoothing=smoothing, reduction="none")
    one_hot = nn.functional.one_hot(labels, 5).double()
    values = {
        "timm LabelSmoothingCrossEntropy": LabelSmoothingCrossEntropy(smoothing)(logits, labels),
        "torch CrossEntropyLoss": nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, labels),
        "timm BinaryCrossEntropy": BinaryCrossEntropy(smoothing)(logits.float(), labels),
        "timm SoftTargetCrossEntropy, dense": SoftTargetCrossEntropy()(logits, mixed),
        "torch CrossEntropyLoss, dense": nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, dense),
        "timm BinaryCrossEntropy, dense": BinaryCrossEntropy(smoothing)(logits.float(), mixed.float()),
        "torch CrossEntropyLoss, weighted": weighted(logits, labels).mean(),
        "torch CrossEntropyLoss, weighted, dense": weighted(logits, dense).mean(),
        "torchvision sigmoid_focal_loss": sigmoid_focal_loss(logits, one_hot, alpha=-1, gamma=2, reduction="mean"),
    }
    return {
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "dense": dense.tolist(),
        "smoothing": smoothing,
        "class_weights": weights.tolist(),
        "values": {name: value.item() for name, value in values.items()},
    }


def main():
    content = Namespace(
        rates=make_rates(),
        groups=make_groups(),
        schedules={name: timm_schedule(**arguments) for name, arguments in TIMM_SCHEDULES.items()},
        losses=make_losses(),
    )
    lines = [
        f'"{part}": {{\n'
        + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items())
        + "\n}"
        for part, entries in vars(content).items()
    ]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    versions = {module.__name__: module.__version__ for module in (torch, timm, transformers, mindspore)}
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes, made by {versions} and Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()

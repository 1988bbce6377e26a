"""Parameter groups: learning rate, weight decay and freezing, by patterns of parameter names."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mindspore import Parameter

from mindvit.errors import UserError
from mindvit.models.vit import TOKEN_PARAMETERS
from mindvit.training.optimizer_settings import OptimizerSettings, ParamRule


class _BuiltInRule(ParamRule):
    """A rule of this project. Unlike a rule of the user, it may match no parameter."""


@dataclass(frozen=True)
class ParamOptions:
    """The options of one parameter, after all rules."""

    name: str
    """Full name of the parameter."""
    lr_scale: float = 1.0
    """Factor of the learning rate."""
    weight_decay: float = 0.0
    """Weight decay."""
    frozen: bool = False
    """Whether the parameter is frozen."""


def make_rules(settings: OptimizerSettings, depth: int, norm_after_pool: bool = False) -> list[ParamRule]:
    """The rules of a run: first those of this project, which depend on the settings, then those of the user.

    - Weight decay applies to weight matrices. Biases, norms, LayerScale, learned tokens and position embeddings have
      none, unless ``weight_decay_params`` is all. (timm decays two of these: the probe of attention pooling and the
      table of relative position biases.)
    - Layer-wise learning-rate decay (Clark et al., 2020; layers counted as in BEiT and MAE): the stem and the
      embeddings are layer 0, block ``i`` is layer ``i + 1``, and all that follows the blocks is layer ``depth + 1``.
      The learning rate of layer ``l`` has the factor ``layer_decay ^ (depth + 1 - l)``. With ``layer_decay_norm``
      last_block, the norm before the pooling is in layer ``depth``.
    - Linear probing freezes everything but the head, ``dense`` (and ``dense_distillation``).

    Args:
        settings: settings of the optimizer.
        depth: number of blocks of the network.
        norm_after_pool: whether the last norm of the network follows the pooling.
    """
    rules = [_BuiltInRule("*", weight_decay=settings.decay)]
    vectors = ("*.bias", "*.gamma", "*.beta", "*.layer_scale", "*.relative_bias.table", "pool.probe")
    if settings.weight_decay_params == "matrices":
        rules += [_BuiltInRule(name, weight_decay=0.0) for name in (*vectors, *TOKEN_PARAMETERS)]
    if settings.layer_decay < 1:
        patterns = dict.fromkeys(("stem.*", "patch_embedding.*", *TOKEN_PARAMETERS), 0)
        patterns |= {f"transformer.layers.{index}.*": index + 1 for index in range(depth)}
        if settings.layer_decay_norm == "last_block" and not norm_after_pool:
            patterns["norm.*"] = depth
        rules += [
            _BuiltInRule(name, lr_scale=settings.layer_decay ** (depth + 1 - layer)) for name, layer in patterns.items()
        ]
    if settings.linear_probing:
        rules += [_BuiltInRule("*", frozen=True), _BuiltInRule("dense*", frozen=False)]
    return rules + settings.rules


def resolve_param_groups(parameters: Iterable[Parameter], rules: Sequence[ParamRule]) -> list[ParamOptions]:
    """Applies rules to parameters: each rule to all parameters whose names match its pattern.

    The learning-rate factors of all matching rules are multiplied. For weight decay and freezing, the last matching
    rule that sets them wins. The defaults are factor 1, no weight decay, not frozen.

    Args:
        parameters: the trainable parameters; only their names are used.
        rules: the rules in order; see ``make_rules``.

    Returns:
        The options of each parameter, in the order of the parameters.

    Raises:
        UserError: if a rule of the user matches no parameter, or all parameters are frozen.
    """
    names = [parameter.name for parameter in parameters]
    assert len(set(names)) == len(names), "two parameters have the same name"
    for rule in rules:
        if not isinstance(rule, _BuiltInRule) and not any(fnmatchcase(name, rule.pattern) for name in names):
            nearest = difflib.get_close_matches(rule.pattern, names, n=1, cutoff=0.0)
            raise UserError(
                f"optimizer.rules: the pattern {rule.pattern!r} matches no trainable parameter; "
                f"the nearest name is {nearest[0]!r}"
            )
    resolved = [_resolve_one(name, rules) for name in names]
    if all(item.frozen for item in resolved):
        raise UserError("optimizer.rules freeze every parameter; leave at least one to train")
    return resolved


def _resolve_one(name: str, rules: Sequence[ParamRule]) -> ParamOptions:
    lr_scale, weight_decay, frozen = 1.0, 0.0, False
    for rule in rules:
        if fnmatchcase(name, rule.pattern):
            lr_scale *= 1.0 if rule.lr_scale is None else rule.lr_scale
            weight_decay = weight_decay if rule.weight_decay is None else rule.weight_decay
            frozen = frozen if rule.frozen is None else rule.frozen
    return ParamOptions(name, lr_scale, weight_decay, frozen)


def freeze(parameters: Iterable[Parameter], options: Sequence[ParamOptions]) -> None:
    """Sets ``requires_grad`` of the frozen parameters to False; other parameters do not change."""
    frozen = {item.name for item in options if item.frozen}
    for parameter in parameters:
        if parameter.name in frozen:
            parameter.requires_grad = False


def describe(options: Sequence[ParamOptions], parameters: Iterable[Parameter]) -> str:
    """A table of the parameter groups: options, number of tensors and values, first names, and the totals.

    Args:
        options: what ``resolve_param_groups`` gave.
        parameters: the parameters that they were resolved for.
    """
    sizes = {parameter.name: parameter.size for parameter in parameters}
    assert sizes.keys() == {item.name for item in options}, "options of other parameters"
    groups: dict[tuple[bool, float, float], list[str]] = {}
    for item in options:
        key = (True, 0.0, 0.0) if item.frozen else (False, item.lr_scale, item.weight_decay)
        groups.setdefault(key, []).append(item.name)
    rows = [("lr scale", "weight decay", "tensors", "values", "parameters")]
    for (frozen, lr_scale, weight_decay), names in groups.items():
        values = ("frozen", "") if frozen else (f"{lr_scale:.4g}", f"{weight_decay:g}")
        rows.append((*values, f"{len(names)}", f"{sum(sizes[name] for name in names):,}", _examples(names)))
    rows.append(("all", "", f"{len(sizes)}", f"{sum(sizes.values()):,}", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    cells = [[cell.rjust(width) for cell, width in zip(row, widths, strict=False)] + [row[4]] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in cells)


def _examples(names: list[str], count: int = 2) -> str:
    """The first names; one name for the same parameter of several blocks: ``layers.0-11.0.cell.0.gamma``."""
    blocks: dict[str, list[int]] = {}
    for name in names:
        block = re.search(r"layers\.(\d+)", name)
        blocks.setdefault(re.sub(r"layers\.\d+", "layers.{}", name), []).append(int(block[1]) if block else 0)
    shown = []
    for name, indices in list(blocks.items())[:count]:
        first, last = min(indices), max(indices)
        shown.append(name.replace("{}", f"{first}" if first == last else f"{first}-{last}"))
    return ", ".join(shown) + (", …" if len(blocks) > count else "")

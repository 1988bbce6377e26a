"""Which parameters decay, at what learning rate, and which stay as they are: patterns over their names."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mindspore import Parameter

from mindvit.errors import UserError
from mindvit.training.optimizer_settings import OptimizerSettings, ParamRule


class _BuiltInRule(ParamRule):
    """A rule of this project's own: some networks have nothing that it matches."""


@dataclass(frozen=True)
class ParamOptions:
    """What the rules came to for one parameter."""

    name: str
    lr_scale: float = 1.0
    weight_decay: float = 0.0
    frozen: bool = False


def make_rules(settings: OptimizerSettings, depth: int) -> list[ParamRule]:
    """The rules of a run: the project's own, by the settings, then the user's.

    - Weights decay; biases, norms, LayerScale, the tokens that are learned and the positions do not.
    - Layer-wise decay of the learning rate (Clark et al., 2020; counted as in BEiT and MAE): the stem and the
      embeddings are layer 0, block ``i`` is layer ``i + 1``, what comes after the blocks is layer ``depth + 1``, and
      layer ``l`` learns at ``layer_decay ^ (depth + 1 - l)`` times the rate.
    - Linear probing freezes everything but the head, ``dense`` (and ``dense_distillation``).

    Args:
        settings: of the optimizer.
        depth: blocks of the network.
    """
    rules = [_BuiltInRule("*", weight_decay=settings.decay)]
    tokens = ("cls", "distillation", "registers", "pos_embedding", "pos_rows", "pos_columns")
    vectors = ("*.bias", "*.gamma", "*.beta", "*.layer_scale", "*.relative_bias.table", "pool.probe")
    rules += [_BuiltInRule(name, weight_decay=0.0) for name in (*vectors, *tokens)]
    if settings.layer_decay < 1:
        patterns = dict.fromkeys(("stem.*", "patch_embedding.*", *tokens), 0)
        patterns |= {f"transformer.layers.{index}.*": index + 1 for index in range(depth)}
        rules += [
            _BuiltInRule(name, lr_scale=settings.layer_decay ** (depth + 1 - layer)) for name, layer in patterns.items()
        ]
    if settings.linear_probing:
        rules += [_BuiltInRule("*", frozen=True), _BuiltInRule("dense*", frozen=False)]
    return rules + settings.rules


def resolve_param_groups(parameters: Iterable[Parameter], rules: Sequence[ParamRule]) -> list[ParamOptions]:
    """Applies rules to parameters, each rule to all whose names its pattern matches.

    The learning rate's factors of all the rules that match are multiplied; of those that set a weight decay, or whether
    the parameter is frozen, the last holds. Where none does: factor 1, no decay, not frozen.

    Args:
        parameters: those that could be trained; only their names count.
        rules: in their order; see ``make_rules``.

    Returns:
        One setting for each parameter, in the parameters' order.

    Raises:
        UserError: if a rule of the user's matches no parameter, or nothing is left to train.
    """
    names = [parameter.name for parameter in parameters]
    assert len(set(names)) == len(names), "two parameters have one name, so that a rule cannot tell them apart"
    for rule in rules:
        if not isinstance(rule, _BuiltInRule) and not any(fnmatchcase(name, rule.pattern) for name in names):
            nearest = difflib.get_close_matches(rule.pattern, names, n=1, cutoff=0.0)
            raise UserError(
                f"optimizer.rules: the pattern {rule.pattern!r} matches no parameter that could be trained; "
                f"the nearest name is {nearest[0]!r}"
            )
    resolved = [_resolve_one(name, rules) for name in names]
    if all(setting.frozen for setting in resolved):
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


def freeze(parameters: Iterable[Parameter], settings: Sequence[ParamOptions]) -> None:
    """Takes the frozen parameters out of training: their ``requires_grad`` becomes False; no other is touched."""
    frozen = {setting.name for setting in settings if setting.frozen}
    for parameter in parameters:
        if parameter.name in frozen:
            parameter.requires_grad = False


def describe(settings: Sequence[ParamOptions], parameters: Iterable[Parameter]) -> str:
    """A table of the groups: what they are set to, their tensors and values, the first of their names, and the totals.

    Args:
        settings: as ``resolve_param_groups`` gave them.
        parameters: those that they were resolved for.
    """
    sizes = {parameter.name: parameter.size for parameter in parameters}
    assert sizes.keys() == {setting.name for setting in settings}, "settings of other parameters"
    groups: dict[tuple[bool, float, float], list[str]] = {}
    for item in settings:
        key = (True, 0.0, 0.0) if item.frozen else (False, item.lr_scale, item.weight_decay)
        groups.setdefault(key, []).append(item.name)
    rows = [("lr scale", "weight decay", "tensors", "values", "parameters")]
    for (frozen, lr_scale, weight_decay), names in groups.items():
        course = ("frozen", "") if frozen else (f"{lr_scale:.4g}", f"{weight_decay:g}")
        rows.append((*course, f"{len(names)}", f"{sum(sizes[name] for name in names):,}", _examples(names)))
    rows.append(("all", "", f"{len(sizes)}", f"{sum(sizes.values()):,}", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    cells = [[cell.rjust(width) for cell, width in zip(row, widths, strict=False)] + [row[4]] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in cells)


def _examples(names: list[str], count: int = 2) -> str:
    """The first few names, those of several blocks as one: ``layers.0-11.0.cell.0.gamma``."""
    blocks: dict[str, list[int]] = {}
    for name in names:
        block = re.search(r"layers\.(\d+)", name)
        blocks.setdefault(re.sub(r"layers\.\d+", "layers.{}", name), []).append(int(block[1]) if block else 0)
    shown = []
    for name, indices in list(blocks.items())[:count]:
        first, last = min(indices), max(indices)
        shown.append(name.replace("{}", f"{first}" if first == last else f"{first}-{last}"))
    return ", ".join(shown) + (", …" if len(blocks) > count else "")

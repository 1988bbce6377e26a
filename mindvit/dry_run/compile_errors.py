"""Reduces an error of MindSpore's compiler to what a person needs: the operator, the cell and the line."""

import re
from pathlib import Path

_NODE = re.compile(r"\bnode(?: is|:)?\s*\[?(?:@\S+?:)?((?:Default|Gradients)/[\w./-]+)")
_OPERATOR = re.compile(r"For (?:primitive)?\s*'(\w+)'|Unsupported op \[(\w+)\]|\boperator '?(\w+)'? ")
_LINE = re.compile(r"In file (\S+?):(\d+)(?:~\d+)?, \d+~\d+/?\s*\n?\s*([^/\n^]*)")
_MAX_REASON = 300
_PACKAGE = f"{Path('mindspore')}/"


def reduce_error(text: str) -> str:
    """A sentence on an error: what MindSpore says first, the operator, the cell and the line of the program.

    Args:
        text: the message of the exception, of many lines.
    """
    reason = next((line.strip() for line in text.splitlines() if line.strip() and not line.startswith("---")), "")
    node = _NODE.search(text)
    parts = []
    operator = _operator(text, node)
    if operator:
        parts.append(f"operator {operator}")
    cell = _cell(node[1]) if node else None
    if cell:
        parts.append(f"cell {cell}")
    if line := _line(text):
        parts.append(line)
    where = f" ({', '.join(parts)})" if parts else ""
    return f"the graph does not compile for Ascend{where}: {reason[:_MAX_REASON]}"


def _operator(text: str, node: re.Match | None) -> str | None:
    if node:
        return re.sub(r"-op\d+$", "", node[1].rpartition("/")[2])
    found = _OPERATOR.search(text)
    return found and next(filter(None, found.groups()))


def _cell(scope: str) -> str | None:
    """``Default/network-ViT/blocks-CellList/0-Block/MatMul-op3`` becomes ``network.blocks.0``."""
    cells = [part.partition("-")[0] for part in scope.split("/")[:-1] if "-" in part]
    return ".".join(cells) or None


def _line(text: str) -> str | None:
    """The innermost line that is not MindSpore's own; MindSpore lists a call before what it calls."""
    found = [(path, number, code.strip()) for path, number, code in _LINE.findall(text) if _PACKAGE not in path]
    if not found:
        return None
    path, number, code = found[-1]
    # The heading of a function stands for all of it; a line within says more.
    inner = [entry for entry in found if not entry[2].startswith("def ")]
    if inner:
        path, number, code = inner[-1]
    return f"{path}:{number}" + (f" `{code}`" if code else "")

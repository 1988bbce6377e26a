"""Reading YAML of bounded size, nesting and expansion, without duplicate keys.

YAML itself has no such bounds: a few hundred bytes of aliases can stand for billions of values. And of two equal keys
PyYAML keeps the last one without a word.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import yaml

MAX_BYTES = 2**20
"""Maximum size of a text, as UTF-8."""
MAX_DEPTH = 20
"""Maximum number of levels of nesting. The settings of this project have five."""
MAX_NODES = 100_000
"""Maximum number of keys and values, each alias counted as what it stands for."""

_BaseLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class RefusedYAML(yaml.YAMLError):
    """YAML that is beyond the bounds of this module, or has a duplicate key."""


class _Loader(_BaseLoader):
    """Reads dates as text, because no setting is a date."""

    yaml_implicit_resolvers: ClassVar[dict] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in _BaseLoader.yaml_implicit_resolvers.items()
    }


@dataclass
class _Group:
    """A mapping or a list that has not ended."""

    name: str
    """Its dotted name, for messages."""
    line: int
    is_mapping: bool
    anchor: str | None
    size: int = 1
    """Number of nodes."""
    height: int = 1
    """Levels of nesting."""
    keys: dict[str, int] = field(default_factory=dict)
    """The line of each key."""
    key: str | None = None
    """The key whose value comes next."""
    expects_key: bool = True

    def child_name(self) -> str:
        if not self.is_mapping or self.key is None:
            return self.name
        return f"{self.name}.{self.key}" if self.name else self.key


def load_yaml(text: str) -> Any:
    """Reads a YAML document of plain values: texts, numbers, true, false, null, lists and mappings.

    Anchors, aliases and merge keys are allowed within the bounds of this module. Dates are texts.

    Raises:
        RefusedYAML: as ``check_yaml``.
        yaml.YAMLError: if it is not YAML, or for a value that does not have the type of its tag.
    """
    check_yaml(text)
    try:
        return yaml.load(text, _Loader)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        # PyYAML's constructors raise these for values such as "!!int x" and for integers of thousands of digits.
        raise yaml.YAMLError(f"it has a value that cannot be read ({error})") from error


def check_yaml(text: str) -> None:
    """Checks that a YAML text is within the bounds of this module and has no duplicate keys.

    It reads the events of the parser, so it neither recurses nor expands aliases.

    Raises:
        RefusedYAML: if it is larger, deeper or expands to more values than the bounds; if an alias stands for a group
            that contains it; or for a duplicate key, naming the key and its lines.
        yaml.YAMLError: if it is not YAML.
    """
    try:
        num_bytes = len(text.encode())
    except UnicodeEncodeError as error:
        raise yaml.YAMLError("it is not UTF-8") from error
    if num_bytes > MAX_BYTES:
        raise RefusedYAML(f"it has {num_bytes:,} bytes; at most {MAX_BYTES:,} are read")
    groups: list[_Group] = []
    extents: dict[str, tuple[int, int]] = {}
    for event in yaml.parse(text, _Loader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.CollectionStartEvent):
            if len(groups) == MAX_DEPTH:
                raise RefusedYAML(f"line {line} has more than {MAX_DEPTH} levels of nesting")
            name = groups[-1].child_name() if groups else ""
            groups.append(_Group(name, line, isinstance(event, yaml.MappingStartEvent), event.anchor))
        elif isinstance(event, yaml.ScalarEvent):
            if event.anchor:
                extents[event.anchor] = (1, 1)
            _add(groups, 1, 1, line, event.value if event.value != "<<" or event.style else None)
        elif isinstance(event, yaml.AliasEvent):
            if any(group.anchor == event.anchor for group in groups):
                raise RefusedYAML(f"the alias *{event.anchor} in line {line} is inside the group that it stands for")
            _add(groups, *extents.get(event.anchor, (1, 1)), line)  # The loader reports an unknown alias.
        elif isinstance(event, yaml.CollectionEndEvent):
            group = groups.pop()
            if group.anchor:
                extents[group.anchor] = (group.size, group.height)
            _add(groups, group.size, group.height, group.line)


def _add(groups: list[_Group], size: int, height: int, line: int, text: str | None = None) -> None:
    """Adds a finished node to the group that contains it.

    Args:
        groups: the groups that have not ended, from the outermost.
        size: number of nodes of the node.
        height: levels of nesting of the node.
        line: its line.
        text: its text; None for groups, aliases and the merge key.
    """
    if not groups:
        return
    group = groups[-1]
    if group.is_mapping and group.expects_key:
        group.key = text
        if text is not None:
            if text in group.keys:
                where = f"lines {group.keys[text]} and {line}" if group.keys[text] != line else f"line {line}"
                raise RefusedYAML(f"{group.child_name()} is given twice, in {where}; remove one of them")
            group.keys[text] = line
    group.expects_key = not group.expects_key
    group.size += size
    group.height = max(group.height, height + 1)
    if group.size > MAX_NODES:
        raise RefusedYAML(f"line {line} is beyond the {MAX_NODES:,} values that are read, aliases expanded")
    if len(groups) + height > MAX_DEPTH + 1:
        raise RefusedYAML(f"line {line} has more than {MAX_DEPTH} levels of nesting, aliases expanded")

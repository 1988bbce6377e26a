"""Groups of settings within groups, as one flat table."""

from typing import Any


def dotted(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names: ``{"optimizer": {"lr": 1}}`` becomes ``{"optimizer.lr": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat

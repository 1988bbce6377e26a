"""Imports stand-ins in place of large packages, for commands that only print their help.

The settings are declared beside the code that uses them, and that code imports MindSpore, which takes seconds. Help
needs the names, types and texts of settings, and nothing that MindSpore computes.
"""

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGES = {"matplotlib", "mindspore", "scipy", "sklearn"}


def is_help_requested(arguments: Sequence[str]) -> bool:
    """Whether arguments of a command ask for help, so that it prints its help and does nothing else."""
    return any(argument == "-h" or argument.partition("=")[0] == "--help" for argument in arguments)


def import_stand_ins() -> None:
    """Lets the large packages be imported as stand-ins from now on, for a process that prints help and ends.

    Packages that are imported already stay what they are, and so do all if MindSpore is.
    """
    if "mindspore" not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.split(".")[0] in _PACKAGES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _StandIn(type):
    """A class that can be called, indexed, joined with ``|``, inherited from, and has every attribute."""

    def __getattr__(cls, name: str) -> Any:
        return _attribute(name)

    def __call__(cls, *arguments: Any, **others: Any) -> Any:
        return cls

    def __getitem__(cls, key: Any) -> Any:
        return cls

    def __or__(cls, other: Any) -> Any:
        return cls

    __ror__ = __or__


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        value = _attribute(name)
        setattr(self, name, value)
        return value


def _attribute(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _StandIn(name, (), {})

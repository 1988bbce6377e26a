"""Adds the recipes of configs/ to the package as mindvit.configs; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["mindvit", "mindvit.*"]), "mindvit.configs"])

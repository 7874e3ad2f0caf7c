"""Choosing the number of components and the family. Imports layers 0 to 3."""

from .path import Selection, select


__all__ = ["Selection", "select"]

"""Jackdaw: a live music model as an instrument in a Linux studio."""

__all__ = ["__version__"]
__version__ = "0.1.0"

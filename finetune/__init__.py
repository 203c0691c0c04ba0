"""Adapt open vision-language models to private images, and measure honestly what that bought."""

__version__ = "0.2.0"

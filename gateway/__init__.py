"""Samurai Gateway: one OpenAI-compatible endpoint in front of several image vendors."""

__version__ = "0.1.0"

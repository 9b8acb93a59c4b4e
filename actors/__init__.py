"""Greenroom: many LLM chat sessions at once, each one an actor."""

__version__ = "0.1.0"

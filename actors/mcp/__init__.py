"""Servers that speak the Model Context Protocol: their tools become tools of the engine."""

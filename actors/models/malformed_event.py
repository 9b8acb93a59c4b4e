"""What all wires say of an event that cannot be read, and of a stream that ends too early."""

from __future__ import annotations

from actors.errors import EngineError, ErrorCode

__all__ = ["cut_stream", "malformed_event", "plain_text"]


def malformed_event(error: Exception) -> EngineError:
    """Says what is wrong with the event, and never quotes it."""
    match error:
        case UnicodeDecodeError():
            problem = "it is not UTF-8"
        case RecursionError():
            problem = "it is nested too deeply"
        case _:
            problem = str(error)
    return EngineError(ErrorCode.EXECUTION_FAILED, f"the provider sent a malformed chunk: {problem}")


def cut_stream() -> EngineError:
    return EngineError(ErrorCode.NETWORK_ERROR, "the stream ended before the answer was complete")


def plain_text(data: str | bytes) -> str:
    """An event that is no JSON, as `[DONE]` is."""
    return (data if isinstance(data, str) else data.decode("utf-8", "replace")).strip()

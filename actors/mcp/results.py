"""The result of a remote call as text for the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp_types import CallToolResult, ContentBlock

__all__ = ["result_text"]


def result_text(result: CallToolResult) -> str:
    """Texts as they are, one below the other; what is no text is described, so that the model knows of it.

    Structured content stands for itself where there is no text. Images, sounds and other data are neither
    shown nor kept: their kind and size are said.
    """
    texts = [text for text in map(_block_text, result.content) if text]
    if not texts and result.structured_content is not None:
        texts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return "\n".join(texts)


def _block_text(block: ContentBlock) -> str:
    import mcp_types as sdk  # noqa: PLC0415 - an extra: only who uses a server needs it

    match block:
        case sdk.TextContent():
            return block.text
        case sdk.ImageContent() | sdk.AudioContent():
            return f"[{block.type}, {block.mime_type}, {_decoded_bytes(block.data)} bytes: not shown]"
        case sdk.ResourceLink():
            described = f": {block.description}" if block.description else ""
            return f"[resource {block.uri} {block.title or block.name}{described}]"
        case sdk.EmbeddedResource():
            resource = block.resource
            kind = f", {resource.mime_type}" if resource.mime_type else ""
            if isinstance(resource, sdk.TextResourceContents):
                return f"[resource {resource.uri}{kind}]\n{resource.text}"
            return f"[resource {resource.uri}{kind}, {_decoded_bytes(resource.blob)} bytes: not shown]"


def _decoded_bytes(base64: str) -> int:
    return max(0, len(base64) * 3 // 4 - base64[-2:].count("="))

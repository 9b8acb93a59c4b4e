"""What of connections is refused at once, and what of them is shown."""

from __future__ import annotations

import math

import httpx
import pytest

from actors.connections import Connection, ModelAlias
from actors.model_settings import ModelSettings
from actors.models import (
    WIRES,
    OpenAIChatModel,
    validate_model_availability,
)
from actors.models.anthropic_messages import AnthropicMessagesModel
from actors.models.openai_responses import OpenAIResponsesModel
from actors.models.wire_model import WireModel
from tests.actors.models.registry_stage import (
    LOCAL,
    local,
    refused,
    refused_to_build,
    registry_of,
)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (ModelSettings(options={"sede": 1}), "openai-chat has no option 'sede'; known are "),
        (ModelSettings(options={"seed": "one"}), "Expected `int | null`, got `str` - at `seed`"),
        (ModelSettings(options={"thinking": {"type": "hard"}}), "Invalid enum value 'hard'"),
        (ModelSettings(options={"top_p": 2}), "an option cannot be sent on openai-chat: "),
        (ModelSettings(options={"extra_body": {"a": object()}}), "an option cannot be sent"),
        (ModelSettings(options={"max_tokens": 1}), "'max_tokens' is no option: say max_output_tokens"),
        (ModelSettings(options={"extra_body": {"stream": False}}), "'stream' is no option: "),
        (ModelSettings(options={"extra_body": {"tools": []}}), "put 'tools' beside 'extra_body'"),
        (ModelSettings(options={"tools": None}), "Expected `array`, got `null` - at `tools`"),
        (ModelSettings(max_output_tokens=0), "max_output_tokens must be at least 1, not 0"),
        (ModelSettings(temperature=-1.0), "temperature must be 0 to 2, not -1.0"),
        (ModelSettings(temperature=math.nan), "temperature must be 0 to 2, not nan"),
    ],
)
async def test_settings_that_a_wire_does_not_take_are_refused(settings: ModelSettings, said: str) -> None:
    of_connection = await refused_to_build(local("a"), local("b", settings=settings))
    alias = ModelAlias(model="m", settings=settings)
    of_alias = await refused_to_build(local("b", aliases={"fast": alias}))

    for error in (of_connection, of_alias):
        assert said in str(error)
        assert str(error).endswith("(connection 'b')")
        assert error.details == {"connection": "b"}


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (
            Connection(connection_id="work"),
            "nothing is known of 'work': name its provider",
        ),
        (Connection(connection_id="work", provider="opnai"), "there is no provider 'opnai'; known are "),
        (
            Connection(connection_id="work", base_url="localhost:1"),
            "the base URL 'localhost:1' is not valid",
        ),
        (Connection(connection_id="work", base_url="http://u:secret@"), "is not valid"),
        (local("work", wire="soap"), "there is no wire 'soap'; known are "),
        (local("work", api_key="sk secret"), "the API key holds spaces"),
        (
            local("work", headers={"X-A": "secret\r\nX-B: 1"}),
            "the header 'X-A' cannot be",
        ),
        (local("work", headers={"X A": "1"}), "the header 'X A' cannot be"),
        (local("work", max_concurrent=0), "max_concurrent must be at least 1, not 0"),
        (local("work", models=("",)), "one of its models has no name"),
        (Connection(connection_id="scripted", base_url=LOCAL), "scripted answers in this process"),
        (Connection(connection_id="work", provider="scripted", wire="openai-chat"), "scripted answers in"),
    ],
)
async def test_a_connection_that_no_request_could_use_is_refused(connection: Connection, said: str) -> None:
    error = await refused_to_build(connection)

    assert said in str(error)
    assert "secret" not in str(error)
    assert error.details == {"connection": connection.connection_id}


@pytest.mark.parametrize("connection_id", ["", "a:b", "a\nb"])
async def test_an_id_under_which_nothing_could_be_found_is_refused(connection_id: str) -> None:
    assert "the connection id" in str(await refused_to_build(local(connection_id)))


async def test_a_fallback_or_a_separator_that_is_none_is_refused() -> None:
    assert "the fallback 'b' is no connection" in str(await refused_to_build(local("a"), fallback="b"))
    assert "separator" in str(await refused_to_build(local("a"), separator=""))


async def test_a_key_is_never_shown() -> None:
    registry = await registry_of(local("a", api_key="sk-secret", headers={"X-Key": "sk-secret"}))

    for shown in (registry, registry.connections(), registry.language_model("a:m")):
        assert "sk-secret" not in repr(shown)


@pytest.mark.parametrize(
    ("connection", "kind", "path"),
    [
        (local("a"), OpenAIChatModel, "/v1/chat/completions"),
        (local("a", wire="openai-responses"), OpenAIResponsesModel, "/v1/responses"),
        (local("a", provider="openai", wire="openai-responses"), OpenAIResponsesModel, "/v1/responses"),
        (local("a", provider="anthropic"), AnthropicMessagesModel, "/v1/messages"),
        (local("a", provider="anthropic", wire="openai-chat"), OpenAIChatModel, "/v1/chat/completions"),
    ],
)
async def test_the_model_is_one_of_its_wire(
    connection: Connection, kind: type[WireModel], path: str
) -> None:
    registry = await registry_of(connection)
    model = registry.language_model("a:m")

    assert isinstance(model, kind)
    assert httpx.URL(model.url).path == path


async def test_the_options_of_every_wire_that_there_is_are_known() -> None:
    for wire in WIRES:
        options = {"service_tier": "auto", "extra_body": {"anything": 1}}
        registry = await registry_of(local("a", wire=wire, settings=ModelSettings(options=options)))
        assert validate_model_availability(registry, "a:m")


async def test_what_answers_in_this_process_needs_nothing() -> None:
    registry = await registry_of(Connection(connection_id="offline", provider="scripted"))

    assert registry.language_model("offline:echo").name == "offline:echo"
    assert refused(registry, "offline:other").details == {"kind": "model"}

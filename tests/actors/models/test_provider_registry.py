from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec
import pytest

from actors.connections import Connection, ModelAlias
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models import (
    WIRES,
    HttpPool,
    ModelConfig,
    OpenAIChatModel,
    ProviderRegistry,
    ProviderSettings,
    build_provider_registry,
    parse_model_config,
    validate_model_availability,
)
from actors.models.anthropic_messages import AnthropicMessagesModel
from actors.models.base import ToolDefinition
from actors.models.openai_responses import OpenAIResponsesModel
from actors.models.wire_model import WireModel
from tests.actors.models.stream_samples import question, said, sse

LOCAL = "http://127.0.0.1:9/v1"


def local(connection_id: str, **others: Any) -> Connection:
    return Connection(connection_id=connection_id, base_url=LOCAL, **others)


async def registry_of(
    *connections: Connection,
    http: HttpPool | None = None,
    separator: str = ":",
    fallback: str = "",
    environment: Mapping[str, str] | None = None,
) -> ProviderRegistry:
    settings = ProviderSettings(
        connections={connection.connection_id: connection for connection in connections},
        separator=separator,
        fallback=fallback,
    )
    async with HttpPool() as unused:
        return await build_provider_registry(settings, http or unused, environment=environment or {})


async def refused_to_build(*connections: Connection, **settings: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await registry_of(*connections, **settings)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    return caught.value


def refused(registry: ProviderRegistry, spec: str | ModelConfig) -> EngineError:
    with pytest.raises(EngineError) as caught:
        registry.language_model(spec)
    return caught.value


class Endpoint:
    """What a server was sent."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.http = HttpPool(transport=httpx.MockTransport(self._respond))

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=sse([said("x", "stop")])
        )

    async def asked(
        self,
        registry: ProviderRegistry,
        spec: str | ModelConfig,
        settings: ModelSettings | None = None,
        tools: tuple[ToolDefinition, ...] = (),
    ) -> dict[str, Any]:
        """The body of the request for one question."""
        request = msgspec.structs.replace(question(), settings=settings or ModelSettings(), tools=tools)
        with contextlib.suppress(EngineError):  # it answers on one wire only
            await registry.language_model(spec).stream(request, lambda _: None)
        return json.loads(self.requests[-1].content)


# --- model configs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "separator", "provider", "model_id"),
    [
        ("a:b", ":", "a", "b"),
        ("a:b:c", ":", "a", "b:c"),
        ("openrouter:qwen/qwen3-8b:free", ":", "openrouter", "qwen/qwen3-8b:free"),
        ("a > b", " > ", "a", "b"),
        ("a > b > c", " > ", "a", "b > c"),
        ("a:b > c", " > ", "a:b", "c"),
        ("a::b", ":", "a", ":b"),
    ],
)
def test_a_name_is_taken_apart_at_its_first_separator(
    spec: str, separator: str, provider: str, model_id: str
) -> None:
    assert parse_model_config(spec, separator=separator) == ModelConfig(
        provider=provider, model_id=model_id
    )


@pytest.mark.parametrize(
    ("spec", "separator", "missing"),
    [
        ("gpt-4", ":", "model"),
        ("", ":", "provider"),
        (":", ":", "provider"),
        (":b", ":", "provider"),
        ("a:", ":", "model"),
        ("a:b", " > ", "model"),
        ("a > ", " > ", "model"),
    ],
)
def test_a_name_without_a_separator_is_refused_with_how_to_write_one(
    spec: str, separator: str, missing: str
) -> None:
    with pytest.raises(EngineError) as caught:
        parse_model_config(spec, separator=separator)

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert str(caught.value).startswith(f"{spec!r} names no {missing}; write provider{separator}model")


def test_what_is_taken_apart_already_passes_through() -> None:
    config = ModelConfig(provider="a", model_id="b", settings=ModelSettings(temperature=1.0))

    assert parse_model_config(config) is config


# --- namespaces, aliases, lists, the fallback -------------------------------------------------------


async def test_every_model_of_a_connection_is_there_under_its_namespace() -> None:
    endpoint = Endpoint()
    registry = await registry_of(Connection(connection_id="xai", api_key="k"), http=endpoint.http)

    for model_id in ("grok-4", "whatever:1"):
        assert (await endpoint.asked(registry, f"xai:{model_id}"))["model"] == model_id
    assert str(endpoint.requests[0].url) == "https://api.x.ai/v1/chat/completions"


async def test_what_is_asked_for_twice_is_the_same_model() -> None:
    registry = await registry_of(local("a"))
    warm = ModelConfig(provider="a", model_id="m", settings=ModelSettings(temperature=1.0))

    assert registry.language_model("a:m") is registry.language_model("a:m")
    assert registry.language_model(warm) is registry.language_model(msgspec.structs.replace(warm))
    assert registry.language_model(warm) is not registry.language_model("a:m")
    assert registry.language_model(warm).name == "a:m"


async def test_an_openai_compatible_server_is_asked_with_its_own_key_and_headers() -> None:
    endpoint = Endpoint()
    connection = local("work", key_variable="WORK_KEY", headers={"X-Team": "blue"})
    registry = await registry_of(connection, http=endpoint.http, environment={"WORK_KEY": "sk-work"})

    await endpoint.asked(registry, "work:m")

    (request,) = endpoint.requests
    assert str(request.url) == f"{LOCAL}/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-work"
    assert request.headers["x-team"] == "blue"


async def test_the_key_of_a_connection_comes_before_the_environments() -> None:
    endpoint = Endpoint()
    connection = Connection(connection_id="openai", api_key="own")
    registry = await registry_of(connection, http=endpoint.http, environment={"OPENAI_API_KEY": "other"})

    await endpoint.asked(registry, "openai:m")

    assert endpoint.requests[0].headers["authorization"] == "Bearer own"


async def test_an_alias_stands_for_the_real_model_with_settings_of_its_own() -> None:
    endpoint = Endpoint()
    fast = ModelAlias(model="model-small", settings=ModelSettings(temperature=0.1))
    connection = local("a", aliases={"fast": fast}, settings=ModelSettings(temperature=1.0))
    registry = await registry_of(connection, http=endpoint.http)

    asked = await endpoint.asked(registry, "a:fast")

    assert (asked["model"], asked["temperature"]) == ("model-small", 0.1)
    assert (await endpoint.asked(registry, "a:model-small"))["temperature"] == 1.0


async def test_default_settings_are_sent_and_an_explicit_value_wins() -> None:
    endpoint = Endpoint()
    defaults = ModelSettings(
        max_output_tokens=100_000, options={"thinking": {"type": "enabled", "budget_tokens": 32_000}}
    )
    registry = await registry_of(local("a", settings=defaults), http=endpoint.http)

    asked = await endpoint.asked(registry, "a:m")
    assert asked["max_tokens"] == 100_000
    assert asked["thinking"] == {"type": "enabled", "budget_tokens": 32_000}

    config = ModelConfig(provider="a", model_id="m", settings=ModelSettings(max_output_tokens=9))
    assert (await endpoint.asked(registry, config))["max_tokens"] == 9
    explicit = ModelSettings(max_output_tokens=7)
    assert (await endpoint.asked(registry, config, explicit))["max_tokens"] == 7


async def test_fields_that_only_the_server_knows_join_the_request_as_they_are() -> None:
    endpoint = Endpoint()
    options = {"seed": 3, "extra_body": {"guided_regex": "a+", "top_k": 5}}
    registry = await registry_of(local("a", settings=ModelSettings(options=options)), http=endpoint.http)

    asked = await endpoint.asked(registry, "a:m")

    assert (asked["seed"], asked["guided_regex"], asked["top_k"]) == (3, "a+", 5)
    assert "extra_body" not in asked

    of_a_call = ModelSettings(options={"extra_body": {"top_k": 6}})
    asked = await endpoint.asked(registry, "a:m", of_a_call)

    assert (asked["guided_regex"], asked["top_k"]) == ("a+", 6)
    assert "extra_body" not in asked


@pytest.mark.parametrize(
    ("wire", "searches"),
    [
        ("openai-chat", {"type": "builtin_function", "function": {"name": "$web_search"}}),
        ("openai-responses", {"type": "web_search", "search_context_size": "low"}),
        ("anthropic-messages", {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}),
    ],
)
async def test_tools_that_the_provider_runs_are_offered_besides_ours(
    wire: str, searches: dict[str, Any]
) -> None:
    endpoint = Endpoint()
    settings = ModelSettings(options={"tools": [searches]})
    registry = await registry_of(local("a", wire=wire, settings=settings), http=endpoint.http)
    ours = ToolDefinition("look", "Looks.", msgspec.Raw(b'{"type":"object"}'))

    asked = await endpoint.asked(registry, "a:m", tools=(ours,))
    own, *others = asked["tools"]
    assert "look" in (own.get("name"), own.get("function", {}).get("name"))
    assert others == [searches]
    assert (await endpoint.asked(registry, "a:m"))["tools"] == [searches]
    none = ModelSettings(options={"tools": []})
    assert not (await endpoint.asked(registry, "a:m", none)).get("tools")


async def test_only_listed_models_and_aliases_may_be_asked() -> None:
    alias = ModelAlias(model="c")
    registry = await registry_of(local("a", models=("b",), aliases={"fast": alias}))

    assert registry.models() == ("a:b", "a:fast")
    assert validate_model_availability(registry, "a:b")
    assert validate_model_availability(registry, "a:fast")
    error = refused(registry, "a:c")
    assert error.code is ErrorCode.EXECUTOR_NOT_FOUND
    assert error.details == {"kind": "model"}
    assert str(error) == "the connection 'a' has no model 'c'; it has b, fast"


async def test_the_fallback_is_asked_for_what_no_connection_has() -> None:
    endpoint = Endpoint()
    registry = await registry_of(
        local("a", models=("b",)), local("rest"), fallback="rest", http=endpoint.http
    )

    for spec, model_id in (("a:b", "b"), ("a:c", "c"), ("qwen3:8b", "qwen3:8b"), ("gpt-4", "gpt-4")):
        assert (await endpoint.asked(registry, spec))["model"] == model_id
    config = ModelConfig(provider="qwen3", model_id="8b")
    assert (await endpoint.asked(registry, config))["model"] == "qwen3:8b"
    assert registry.connection_of("a:b").connection_id == "a"
    assert registry.connection_of("a:c").connection_id == "rest"
    assert refused(registry, "").code is ErrorCode.INVALID_ARGUMENT


async def test_the_fallbacks_own_list_holds() -> None:
    registry = await registry_of(local("rest", models=("b",)), fallback="rest")

    assert validate_model_availability(registry, "b")
    assert refused(registry, "nobody:c").details == {"kind": "model"}


async def test_a_separator_of_ones_own() -> None:
    registry = await registry_of(local("a:1", models=("b",)), separator=" > ")

    assert registry.models() == ("a:1 > b",)
    assert registry.language_model("a:1 > b").name == "a:1 > b"
    assert refused(registry, "a:1").code is ErrorCode.INVALID_ARGUMENT


async def test_a_connection_that_is_switched_off_is_not_there_nor_does_the_fallback_stand_in() -> None:
    off = local("off", enabled=False, settings=ModelSettings(options={"nonsense": 1}))
    registry = await registry_of(off, local("rest"), fallback="rest")

    error = refused(registry, "off:m")
    assert (error.code, error.details) == (
        ErrorCode.EXECUTOR_NOT_FOUND,
        {"kind": "model", "provider": "off"},
    )
    assert "switched off" in str(error)
    assert [connection.connection_id for connection in registry.connections()] == ["rest"]


async def test_a_connection_without_its_key_says_which_variable_to_set() -> None:
    registry = await registry_of(
        Connection(connection_id="openai"), local("work", key_variable="WORK_KEY"), local("free")
    )

    assert "set OPENAI_API_KEY, or give the base URL" in str(refused(registry, "openai:m"))
    assert str(refused(registry, "work:m")) == "work needs an API key; set WORK_KEY"
    assert validate_model_availability(registry, "free:m")


@pytest.mark.parametrize("spec", ["nobody:m", "m", "", "a:", None, 7])
async def test_availability_is_a_matter_of_true_and_false(spec: Any) -> None:
    registry = await registry_of(local("a"))

    assert validate_model_availability(registry, "a:m") is True
    assert validate_model_availability(registry, spec) is False


async def test_settings_of_a_config_are_checked_when_it_is_used() -> None:
    registry = await registry_of(local("a"))
    for options in ({"nonsense": 1}, {"seed": object()}):
        config = ModelConfig(provider="a", model_id="m", settings=ModelSettings(options=options))
        assert refused(registry, config).code is ErrorCode.INVALID_ARGUMENT


# --- what is refused at the build -------------------------------------------------------------------


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

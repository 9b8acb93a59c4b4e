"""Which model a name means, and how it is asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.connections import Connection, ModelAlias
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models import (
    ModelConfig,
    parse_model_config,
    validate_model_availability,
)
from actors.models.base import ToolDefinition
from tests.actors.models.registry_stage import (
    LOCAL,
    Endpoint,
    local,
    refused,
    registry_of,
)

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

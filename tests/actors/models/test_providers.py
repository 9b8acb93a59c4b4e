from __future__ import annotations

import json
from collections.abc import Mapping

import httpx
import msgspec
import pytest

from actors.connections import Connection, McpServer
from actors.conversation import Part
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models import (
    PROVIDERS,
    WIRES,
    HttpPool,
    LanguageModel,
    OpenAIChatModel,
    ScriptedModel,
    build_provider_registry,
)
from actors.settings import EngineSettings, key_environment
from tests.actors.models.stream_samples import answer_of, question, said, sse


async def model_of(
    spec: str,
    *,
    base_url: str = "",
    wire: str = "",
    environment: Mapping[str, str] | None = None,
    http: HttpPool | None = None,
) -> LanguageModel:
    """As an engine with these settings finds it."""
    settings = EngineSettings(model=spec, base_url=base_url, wire=wire)
    async with HttpPool() as unused:
        registry = await build_provider_registry(
            settings.providers({}), http or unused, environment=environment or {}
        )
        return registry.language_model(spec)


async def refusal(
    spec: str, *, base_url: str = "", wire: str = "", environment: Mapping[str, str] | None = None
) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await model_of(spec, base_url=base_url, wire=wire, environment=environment)
    return caught.value


def answering(bodies: list[bytes]) -> httpx.MockTransport:
    def respond(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=sse([said("x", "stop")])
        )

    return httpx.MockTransport(respond)


@pytest.mark.parametrize(
    ("spec", "model"),
    [
        ("ollama:qwen3:8b", "qwen3:8b"),
        ("ollama:hf.co/org/model:Q4_K_M", "hf.co/org/model:Q4_K_M"),
        ("ollama:llama3", "llama3"),
    ],
)
async def test_only_the_first_colon_separates(spec: str, model: str) -> None:
    bodies: list[bytes] = []
    async with HttpPool(transport=answering(bodies)) as http:
        built = await model_of(spec, http=http)
        await built.stream(question(), lambda _: None)

    assert (built.name, [json.loads(body)["model"] for body in bodies]) == (spec, [model])


@pytest.mark.parametrize(
    "provider", [name for name, provider in PROVIDERS.items() if provider.wire == "openai-chat"]
)
async def test_every_known_provider_gives_a_model_at_its_base_url(provider: str) -> None:
    model = await model_of(f"{provider}:m", environment={PROVIDERS[provider].key_variable: "sk-1"})

    assert isinstance(model, OpenAIChatModel)
    assert model.url == f"{PROVIDERS[provider].base_url}/chat/completions"


async def test_openai_takes_the_limit_under_its_new_name_and_other_servers_under_the_old_one() -> None:
    bodies: list[bytes] = []
    async with HttpPool(transport=answering(bodies)) as http:
        for base_url in ("", "http://127.0.0.1:8080/v1"):
            keys = {"OPENAI_API_KEY": "sk-1"}
            model = await model_of("openai:m", http=http, base_url=base_url, environment=keys)
            request = msgspec.structs.replace(question(), settings=ModelSettings(max_output_tokens=5))
            await model.stream(request, lambda _: None)

    assert [b"max_completion_tokens" in body for body in bodies] == [True, False]
    assert [b"max_tokens" in body for body in bodies] == [False, True]


async def test_a_base_url_spares_the_key() -> None:
    model = await model_of("openai:m", base_url="http://127.0.0.1:8080/v1")

    assert isinstance(model, OpenAIChatModel)
    assert model.url == "http://127.0.0.1:8080/v1/chat/completions"


async def test_scripted_needs_no_network() -> None:
    parts: list[Part] = []
    model = await model_of("scripted:echo")
    await model.stream(question("hello"), parts.extend)

    assert isinstance(model, ScriptedModel)
    assert (model.name, answer_of(parts).text) == ("scripted:echo", "You said: hello")


@pytest.mark.parametrize("spec", ["opanai:gpt", "OpenAI:gpt", "gpt:4"])
async def test_an_unknown_provider_is_answered_with_the_known_ones(spec: str) -> None:
    error = await refusal(spec)

    assert error.code is ErrorCode.EXECUTOR_NOT_FOUND
    assert error.details["kind"] == "model"
    assert "openai" in str(error)
    assert "scripted" in str(error)


@pytest.mark.parametrize("spec", ["openai", "openai:", "scripted", "scripted:", "gpt", ":gpt", ""])
async def test_a_spec_without_a_provider_and_a_model_is_answered_with_how_to_write_one(spec: str) -> None:
    error = await refusal(spec)

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "provider:model" in str(error)


async def test_an_unknown_wire_is_answered_with_the_known_ones() -> None:
    error = await refusal("openai:gpt", wire="soap")

    assert error.code is ErrorCode.INVALID_ARGUMENT
    known = ", ".join(sorted(WIRES))
    assert str(error) == f"there is no wire 'soap'; known are {known} (connection 'openai')"


async def test_a_missing_key_is_answered_with_where_it_is_usually_kept() -> None:
    error = await refusal("groq:llama")

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "GROQ_API_KEY" in str(error)
    assert "base URL" in str(error)


async def test_a_broken_key_of_one_provider_harms_no_other() -> None:
    environment = {"OPENAI_API_KEY": "sk-ä secret"}

    await model_of("ollama:m", environment=environment)
    error = await refusal("openai:m", environment=environment)

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "secret" not in str(error)


@pytest.mark.parametrize(("base_url", "wire"), [("", "nope"), ("", "openai-chat"), ("http://h", "")])
async def test_a_model_in_this_process_takes_no_wire_and_no_base_url(base_url: str, wire: str) -> None:
    error = await refusal("scripted:echo", base_url=base_url, wire=wire)

    assert error.code is ErrorCode.INVALID_ARGUMENT


async def test_a_connection_comes_in_the_place_of_the_known_provider_of_its_name() -> None:
    own = Connection(connection_id="openai", base_url="http://127.0.0.1:9/v1", models=("m",))
    async with HttpPool() as http:
        registry = await build_provider_registry(EngineSettings().providers({"openai": own}), http)
        model = registry.language_model("openai:m")

    assert isinstance(model, OpenAIChatModel)
    assert model.url == "http://127.0.0.1:9/v1/chat/completions"
    assert registry.models() == ("openai:m",)


def test_keys_of_the_settings_come_before_those_of_the_environment() -> None:
    settings = EngineSettings(api_keys={"openai": "own", "groq": ""})
    environment = {"OPENAI_API_KEY": "theirs", "GROQ_API_KEY": "theirs", "WORK_KEY": "theirs"}

    keys = key_environment(settings, environment)

    assert keys == environment | {"OPENAI_API_KEY": "own"}


@pytest.mark.parametrize("name", ["opnai", "ollama", "scripted"])
def test_a_key_that_nobody_would_ask_for_is_refused_unseen(name: str) -> None:
    with pytest.raises(EngineError) as caught:
        EngineSettings(api_keys={name: "sk-secret"})

    assert str(caught.value).startswith(f"api_keys has a key for {name!r}, which is none of alibaba, ")
    assert "sk-secret" not in str(caught.value)


def test_secrets_in_urls_are_not_shown() -> None:
    url = "https://bob:hunter2@host/v1?key=hunter3"

    for shown in (
        EngineSettings(base_url=url),
        Connection(connection_id="work", base_url=url),
        McpServer(server_id="files", url=url),
    ):
        assert "https://host/v1" in repr(shown)
        assert "hunter" not in repr(shown)

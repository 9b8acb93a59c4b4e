from __future__ import annotations

import json

import httpx
import pytest

from actors.conversation import Part
from actors.errors import EngineError, ErrorCode
from actors.models import PROVIDERS, HttpPool, OpenAIChatModel, ScriptedModel, language_model
from tests.actors.models.stream_samples import answer_of, question, said, sse


async def refusal(spec: str, *, base_url: str = "", wire: str = "", api_key: str = "") -> EngineError:
    async with HttpPool() as http:
        with pytest.raises(EngineError) as caught:
            language_model(spec, http=http, base_url=base_url, wire=wire, api_key=api_key)
    return caught.value


@pytest.mark.parametrize(
    ("spec", "model"),
    [
        ("ollama:qwen3:8b", "qwen3:8b"),
        ("ollama:hf.co/org/model:Q4_K_M", "hf.co/org/model:Q4_K_M"),
        ("ollama:llama3", "llama3"),
    ],
)
async def test_only_the_first_colon_separates(spec: str, model: str) -> None:
    asked: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content)["model"])
        return httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=sse([said("x", "stop")])
        )

    async with HttpPool(transport=httpx.MockTransport(respond)) as http:
        built = language_model(spec, http=http)
        await built.stream(question(), lambda _: None)

    assert (built.name, asked) == (spec, [model])


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
async def test_every_known_provider_gives_a_model_at_its_base_url(provider: str) -> None:
    async with HttpPool() as http:
        model = language_model(f"{provider}:m", http=http, api_key="sk-1")

    assert isinstance(model, OpenAIChatModel)
    assert model.url == f"{PROVIDERS[provider].base_url}/chat/completions"


async def test_openai_takes_the_limit_under_its_new_name_and_other_servers_under_the_old_one() -> None:
    bodies: list[bytes] = []

    def respond(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=sse([said("x", "stop")])
        )

    async with HttpPool(transport=httpx.MockTransport(respond)) as http:
        for base_url in ("", "http://127.0.0.1:8080/v1"):
            model = language_model("openai:m", http=http, base_url=base_url, api_key="sk-1")
            await model.stream(question(max_output_tokens=5), lambda _: None)

    assert [b"max_completion_tokens" in body for body in bodies] == [True, False]
    assert [b"max_tokens" in body for body in bodies] == [False, True]


async def test_a_base_url_spares_the_key() -> None:
    async with HttpPool() as http:
        model = language_model("openai:m", http=http, base_url="http://127.0.0.1:8080/v1")

    assert isinstance(model, OpenAIChatModel)
    assert model.url == "http://127.0.0.1:8080/v1/chat/completions"


async def test_scripted_needs_no_network() -> None:
    parts: list[Part] = []
    async with HttpPool() as http:
        model = language_model("scripted:echo", http=http)
        await model.stream(question("hello"), parts.extend)

    assert isinstance(model, ScriptedModel)
    assert (model.name, answer_of(parts).text) == ("scripted:echo", "You said: hello")


@pytest.mark.parametrize("spec", ["opanai:gpt", "gpt", "", ":gpt", "OpenAI:gpt"])
async def test_an_unknown_provider_is_answered_with_the_known_ones(spec: str) -> None:
    error = await refusal(spec)

    assert error.code is ErrorCode.EXECUTOR_NOT_FOUND
    assert error.details["kind"] == "provider"
    assert "openai" in str(error)
    assert "scripted" in str(error)


@pytest.mark.parametrize("spec", ["openai", "openai:", "scripted", "scripted:"])
async def test_a_spec_without_a_model_is_answered_with_how_to_write_one(spec: str) -> None:
    error = await refusal(spec, api_key="sk-1")

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "provider:model" in str(error)


async def test_an_unknown_wire_is_answered_with_the_known_ones() -> None:
    error = await refusal("openai:gpt", wire="soap", api_key="sk-1")

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert str(error) == "there is no wire 'soap'; known are openai-chat"


async def test_a_missing_key_is_answered_with_where_it_is_usually_kept() -> None:
    error = await refusal("groq:llama")

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "GROQ_API_KEY" in str(error)
    assert "base URL" in str(error)


async def test_a_key_with_no_provider_behind_it_is_never_shown() -> None:
    assert "sk-secret" not in str(await refusal("nobody:m", api_key="sk-secret"))


@pytest.mark.parametrize("option", [{"wire": "nope"}, {"wire": "openai-chat"}, {"base_url": "http://h"}])
async def test_a_model_in_this_process_takes_no_wire_and_no_base_url(option: dict[str, str]) -> None:
    error = await refusal("scripted:echo", **option)

    assert error.code is ErrorCode.INVALID_ARGUMENT

"""`greenroom models`: what it says of keys, which is never what they are."""

from __future__ import annotations

import json

from tests.actors.cli.program import environment, greenroom


def test_providers_are_listed_with_their_keys_variables_and_never_the_keys() -> None:
    done = greenroom("models", env=environment(OPENAI_API_KEY="sk-very-secret", GROQ_API_KEY=""))

    lines = {line.split()[0]: line for line in done.stdout.decode().splitlines()}
    assert done.returncode == 0
    assert "OPENAI_API_KEY is set" in lines["openai"]
    assert "GROQ_API_KEY is not set" in lines["groq"]
    assert "needs none" in lines["ollama"]
    assert "anthropic-messages" in lines["anthropic"]
    assert "scripted" in lines
    assert b"secret" not in done.stdout


def test_json_has_the_same_for_programs() -> None:
    done = greenroom("models", "--json", env=environment(OPENAI_API_KEY="sk-very-secret"))

    known = {one["provider"]: one for one in json.loads(done.stdout)}
    assert known["openai"]["key_is_set"] is True
    assert known["anthropic"]["key_is_set"] is False
    assert known["ollama"]["key_is_set"] is None
    assert b"secret" not in done.stdout

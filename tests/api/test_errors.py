"""Errors become answers: one status each, one shape, and nothing of the inside."""

from __future__ import annotations

import logging

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from webui.api import errors
from webui.contract import errors as contract
from webui.contract.errors import (
    CheckpointReadError,
    FieldError,
    MemoryLimitError,
    RequestError,
    SaveError,
    UnknownCheckpointError,
    UnknownJobError,
    UnknownNameError,
    WebUIError,
)

CASES = [
    (UnknownNameError("sampler", "Eular", ["Euler"]), 400),
    (UnknownNameError("schedule", "xyz", ["Karras"]), 422),
    (FieldError("steps", "Steps 0 is out of range."), 422),
    (MemoryLimitError("Too large."), 422),
    (RequestError("Cannot be drawn."), 422),
    (UnknownCheckpointError("No checkpoint is called 'x'."), 404),
    (CheckpointReadError("'x' is truncated."), 422),
    (UnknownJobError("No job 'x'."), 404),
    (SaveError("The disk is full."), 507),
    (WebUIError("Odd."), 500),
]


class Body(BaseModel):
    steps: int = 1
    names: list[str] = []


def client_raising(error: Exception) -> TestClient:
    app = FastAPI()
    errors.install(app)

    @app.get("/raise")
    def fail() -> None:
        raise error

    @app.post("/body")
    def body(body: Body) -> int:
        return body.steps

    app.add_middleware(errors.Calm)
    return TestClient(app, base_url="http://localhost:7860")


@pytest.mark.parametrize("error, status", CASES)
def test_each_error_has_its_status_and_its_sentence(error: WebUIError, status: int) -> None:
    response = client_raising(error).get("/raise")
    assert response.status_code == status
    answer = response.json()
    assert answer["error"] == type(error).__name__ and answer["detail"] == answer["errors"] == str(error) and answer["body"] == ""
    assert answer.get("field") == (error.field if isinstance(error, FieldError) else None)


def test_every_error_of_the_contract_finds_a_status() -> None:
    kinds = [kind for kind in vars(contract).values() if isinstance(kind, type) and issubclass(kind, WebUIError)]
    assert len(kinds) > 8
    for kind in kinds:
        assert errors.status_of(kind.__new__(kind)) >= 400 if kind is not UnknownNameError else True


def test_what_nobody_expected_is_a_calm_sentence_and_a_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        response = client_raising(RuntimeError("secret in /home/someone/models")).get("/raise")
    assert response.status_code == 500 and response.json()["detail"] == errors.CALM
    assert "secret" not in response.text and "Traceback" not in response.text
    assert "secret in /home/someone/models" in caplog.text and "Traceback" in caplog.text


BODIES = [
    (b'{"steps": "many"}', "steps", "whole number"),
    (b'{"steps": null}', "steps", "whole number"),
    (b'{"steps": {"a": 1}}', "steps", "whole number"),
    (b'{"names": "a"}', "names", "list"),
    (b'{"names": [1]}', "names", "text"),
    (b"{", "", "not JSON"),
    (b"", "", "JSON"),
    (b"[1]", "", "JSON"),
    (b"\xff", "", "JSON"),
    (b"[" * 100_000, "", "JSON"),
    (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "", ""),
]


@pytest.mark.parametrize("body, field, words", BODIES)
def test_a_body_of_the_wrong_kind_is_422_and_names_the_field(body: bytes, field: str, words: str) -> None:
    response = client_raising(ValueError()).post("/body", content=body, headers={"Content-Type": "application/json"})
    if body.startswith(b'{"a":'):
        assert response.status_code in (200, 422)  # nested as deep as Python's parser still bears: an unknown field
        return
    assert response.status_code == 422
    answer = response.json()
    assert words in answer["detail"] and answer.get("field", "") == field and set(answer) >= {"error", "detail", "body", "errors"}


def test_unknown_paths_and_methods_answer_in_the_same_shape() -> None:
    client = client_raising(ValueError())
    for response, status in ((client.get("/nothing"), 404), (client.post("/raise"), 405)):
        assert response.status_code == status and set(response.json()) >= {"error", "detail", "body", "errors"}

"""The page's own scripts stand in the document, in order, before Gradio's."""

import re

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.testclient import TestClient

from webui.ui import page
from webui.ui.head import HeadFirst


def served() -> TestClient:
    server = FastAPI()

    @server.get("/")
    def document() -> HTMLResponse:
        return HTMLResponse("<!doctype html><html><head><script type=module src=theirs.js></script></head><body>é</body></html>")

    @server.get("/other")
    def other() -> HTMLResponse:
        return HTMLResponse("<head></head>")

    @server.get("/data")
    def data() -> dict[str, str]:
        return {"text": "<head>"}

    server.add_middleware(HeadFirst, head=page.scripts())
    return TestClient(server)


def test_our_scripts_come_first_and_in_order() -> None:
    answer = served().get("/", headers={"accept-encoding": "gzip"})
    found = re.findall(r"src=\"?([\w./]+)", answer.text)
    assert found == [*(f"look/{name}" for name in page.SCRIPTS), "theirs.js"]
    assert int(answer.headers["content-length"]) == len(answer.content) and "é" in answer.text


def test_everything_else_is_served_as_it_is() -> None:
    client = served()
    assert client.get("/other").text == "<head></head>"
    assert client.get("/data").json() == {"text": "<head>"}
    assert client.get("/missing").status_code == 404

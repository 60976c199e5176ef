"""How soon a finished picture reaches the browser, and how soon the page is there."""

from __future__ import annotations

import http.client
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from webui.bench.table import Row
from webui.contract.errors import WebUIError
from webui.contract.request import GenerationRequest
from webui.workspace.app import App


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def bench_delivery(app: App, web: FastAPI, port: int, full: bool) -> list[Row]:
    """From the last network call to the first byte of a 512 x 512 JPEG over HTTP; PNG and disk come after it."""
    server = uvicorn.Server(uvicorn.Config(web, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        delays, order = _deliveries(app, port, 15 if full else 7)
    finally:
        server.should_exit = True
        thread.join(10)
    return [
        Row("delivery", "last network call to first byte of the JPEG, median", statistics.median(delays) * 1e3, "ms", at_most=10),
        Row("delivery", "pictures whose file was written before they were shown", sum(not ok for ok in order), exactly=0),
    ]


def _deliveries(app: App, port: int, rounds: int) -> tuple[list[float], list[bool]]:
    """(seconds, whether it was shown before it was saved) of each picture."""
    ended = [0.0]
    delays, order = [], []
    with app.checkpoints.use() as model, app.queue.subscribe() as events:
        handle = model.autoencoder.decoder.register_forward_hook(lambda *_: ended.__setitem__(0, time.perf_counter()))
        for number in range(rounds + 1):
            job = app.queue.submit(
                GenerationRequest(prompt="a red sphere", steps=1, guidance=1.0, width=512, height=512, seed=number)
            )
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.connect()
            kinds: list[str] = []
            while "finished" not in kinds:
                event = events.get(60)
                if event is None or event.kind == "failed":
                    raise WebUIError("The job for the measurement did not finish.")
                kinds.append(event.kind)
                if event.kind == "image":
                    connection.request("GET", f"/api/v1/jobs/{job.id}/images/0.jpg", headers={"Host": f"localhost:{port}"})
                    answer = connection.getresponse()
                    answer.read(1)
                    if number:  # the first is the warm-up
                        delays.append(time.perf_counter() - ended[0])
                        order.append("saved" not in kinds)
                    answer.read()
            connection.close()
        handle.remove()
    return delays, order


def bench_start(full: bool) -> list[Row]:
    """From typing the command to a page that answers, against importing the libraries it stands on; in turn."""
    ours, imports = [], []
    for _ in range(5 if full else 3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch, diffusers, gradio"], check=True)
        imports.append(time.perf_counter() - start)
        with tempfile.TemporaryDirectory() as folder:
            ours.append(until_usable(Path(folder)))
    return [
        Row("start", "import torch, diffusers, gradio", statistics.median(imports), "s"),
        Row("start", "to a usable page", statistics.median(ours), "s"),
        Row("start", "ratio", statistics.median(ours) / statistics.median(imports), at_most=1.5),
    ]


def until_usable(data: Path) -> float:
    """Seconds until GET / of a program that is started over that data folder answers with the page."""
    port = free_port()
    start = time.perf_counter()
    program = subprocess.Popen(
        [sys.executable, "-m", "webui", "--port", str(port), "--data-dir", str(data)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("GET", "/")
                answer = connection.getresponse()
                if answer.status == 200 and b"txt2img" in answer.read():
                    return time.perf_counter() - start
            except OSError:
                if program.poll() is not None:
                    raise WebUIError("The page did not start, so its start cannot be measured.") from None
                time.sleep(0.02)
    finally:
        program.terminate()
        program.wait(20)

"""A workspace with two checkpoints of different weights, and clients that ask it over HTTP."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.api.small import BASE
from tests.shared import ROOT, shared
from webui.api.access import Access
from webui.api.server import build
from webui.contract import infotext
from webui.contract.errors import Interrupted
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.contract.result import CheckpointName, GeneratedImage, Kept, Progress
from webui.engine.watch import Observer
from webui.workspace import drawing
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths
from webui.workspace.queue import JobQueue, Prepare

NAMES = ("apple", "pear")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose checkpoints apple and pear are the pocket's weights, pear's slightly bent; and one that is broken."""
    folder = tmp_path_factory.mktemp("served")
    pocket = ROOT / "models" / "pocket"
    source = pocket if pocket.exists() else shared("pocket/weights")
    for name in NAMES:
        shutil.copytree(source, folder / "models" / "Stable-diffusion" / name)
    weights = next((folder / "models" / "Stable-diffusion" / "pear" / "unet").glob("*.safetensors"))
    tensors = load_file(weights)
    first = sorted(tensors)[0]
    save_file({**tensors, first: tensors[first] * 1.01}, weights)
    (folder / "models" / "Stable-diffusion" / "broken.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    return folder


@pytest.fixture(scope="session")
def app(parts: Parts, data: Path) -> Iterator[App]:
    opened = open_app(Paths(data), parts, cpu_only=True)
    opened.choose_checkpoint("apple")
    yield opened
    opened.close()


@pytest.fixture
def client(app: App) -> TestClient:
    return TestClient(build(app, Access.for_flags()), base_url=BASE)


class Pace:
    """Lets a job go on step by step: a stand-in for the network, which draws grey pictures through the real queue."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._steps = threading.Semaphore(0)
        self._is_free = False

    def go(self, steps: int) -> None:
        self._steps.release(steps)

    def run(self) -> None:
        """Never wait again."""
        self._is_free = True
        self._steps.release()

    def draw(self, request: GenerationRequest, observer: Observer, kept: Kept) -> Iterator[tuple[int, GeneratedImage]]:
        steps, pictures = request.steps or 1, request.pictures
        for number in range(pictures):
            if kept(number) is not None:
                continue
            for step in range(1, steps + 1):
                while not (observer.should_stop() or self._is_free or self._steps.acquire(timeout=0.02)):
                    pass
                if observer.should_stop():
                    raise Interrupted
                if self.error is not None:
                    raise self.error
                fraction = (number + step / steps) / pictures
                observer.progress(Progress(number + 1, pictures, step, steps, fraction, lambda: Image.new("RGB", (16, 16))))
            alone = replace(request, seed=request.seed + number, batch_size=1, batch_count=1)
            name = CheckpointName(request.checkpoint, "0123456789")
            picture = Image.new("RGB", (request.width or 64, request.height or 64), (number % 256, 128, 128))
            yield number, GeneratedImage(picture, alone, name, infotext.write(alone, name))


@pytest.fixture
def pace() -> Iterator[Pace]:
    made = Pace()
    yield made
    made.run()


def prepared(app: App) -> Prepare:
    return lambda request, tab: drawing.prepared(request, tab, app.checkpoints, app.parts, app.inputs)


@pytest.fixture
def paced(app: App, pace: Pace, tmp_path: Path) -> Iterator[App]:
    """The workspace with a queue of its own, whose pictures come when the test says so."""
    queue = JobQueue(prepared(app), pace.draw, app.gallery, app.settings, tmp_path / "jobs")
    yield replace(app, queue=queue)
    pace.run()
    queue.close()


@pytest.fixture
def paced_client(paced: App) -> TestClient:
    return TestClient(build(paced, Access.for_flags()), base_url=BASE)


@pytest.fixture
def quick(pace: Pace, paced_client: TestClient) -> TestClient:
    """A client of a queue that draws at once."""
    pace.run()
    return paced_client

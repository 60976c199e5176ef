"""A workspace with two checkpoints of different weights, and clients that ask it over HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file

from tests.api.small import BASE
from tests.shared import ROOT, shared
from webui.api.access import Access
from webui.api.server import build
from webui.contract.parts import Parts
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

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

"""What several rooms' tests need: the program's parts, a workspace over the pocket checkpoint, the reference checkpoints."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.bert import write_vocabulary
from tests.shared import ROOT, shared
from tests.turbo import write_pocket, write_turbo
from webui.contract.parts import Parts
from webui.main import find_parts
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

os.environ.setdefault("HF_HUB_OFFLINE", "1")
POCKET = ROOT / "models" / "pocket"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """One: tests share the machine, and threads that wait for a busy core cost a hundred times what they bring."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def parts() -> Parts:
    """The registries as the program fills them, without extensions."""
    return find_parts(Paths(ROOT), with_extensions=False)[0]


@pytest.fixture(scope="session")
def app(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A workspace over the pocket checkpoint, in a data folder of its own."""
    opened = open_app(Paths(tmp_path_factory.mktemp("data")), parts, cpu_only=True)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def turbo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the pocket checkpoint, its tiny autoencoder and a turbo, and no others."""
    data = tmp_path_factory.mktemp("turbo")
    write_pocket(data / "models")
    write_pocket(data / "models", "pocket-tiny")
    write_turbo(data / "models")
    return data


@pytest.fixture(scope="session")
def turbo_app(parts: Parts, turbo_data: Path) -> Iterator[App]:
    """A workspace over these alone; the pocket is the checkpoint in use."""
    opened = open_app(Paths(turbo_data, turbo_data), parts, checkpoint="pocket", cpu_only=True)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def reference_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All public reference cases, with their tiny checkpoints built in the original key layouts: a folder for each."""
    builder = shared("reference/build.py")
    out = tmp_path_factory.mktemp("reference")
    subprocess.run([sys.executable, str(builder), str(shared("reference/public")), str(out)], check=True, capture_output=True)
    return out


@pytest.fixture(scope="session")
def models(reference_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models/ folder with BERT's vocabulary in it, as far as the reference prompts need it; nothing is fetched."""
    folder = tmp_path_factory.mktemp("models")
    for case in reference_checkpoints.glob("ldm-text-*"):
        write_vocabulary(case, folder / "BERT" / "vocab.txt")
    return folder

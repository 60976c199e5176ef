"""The program as it is typed: commands, exit codes, and a second instance that refuses strangers."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.shared import ROOT

QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def webui(*words: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "webui", *words, "--data-dir", str(data)],
        cwd=ROOT,
        env=QUIET,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def test_generate_writes_a_picture_with_its_infotext(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    done = webui("generate", "a red sphere on a checkered floor", "-o", str(out), "--seed", "1", "--steps", "3", data=data)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out)
    with Image.open(out) as picture:
        text = picture.text["parameters"]  # type: ignore[attr-defined]
    assert text.startswith("a red sphere on a checkered floor\nSteps: 3, ")
    assert "Seed: 1," in text and "Model: pocket" in text


def test_generate_draws_from_a_picture_that_is_kept_for_the_next_time(data: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    Image.new("RGB", (64, 96), "green").save(source)
    words = ("--image", str(source), "--strength", "0.5", "--steps", "4", "--seed", "1", "-o", str(out))
    done = webui("generate", "a cone", *words, data=data)
    assert done.returncode == 0, done.stderr
    name = hashlib.sha256(source.read_bytes()).hexdigest()
    with Image.open(out) as picture:
        assert picture.size == (64, 96)
        text = picture.text["parameters"]  # type: ignore[attr-defined]
    assert f"Input image hash: {name}" in text and "Denoising strength: 0.5" in text
    assert (data / "state" / "inputs" / f"{name}.png").read_bytes() == source.read_bytes()


def test_fetch_lists_what_is_not_bundled_and_says_in_one_sentence_when_there_is_no_network(data: Path) -> None:
    listed = webui("fetch", data=data)
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["bert-vocabulary", "depth-estimator", "image-statistics"]
    done = webui("fetch", "bert-vocabulary", data=data)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "bert-vocabulary was not fetched: HF_HUB_OFFLINE forbids it. Or put vocab.txt into models/BERT."
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--boxes", "[1]"], "Box 1 is 1. It must have label, x, y, width, height."),
        (["--second-image", __file__], "Second image is not a picture that can be read here."),
        (["--class", "tench"], "Pocket reads no class label"),
        (["--steps", "0"], "Steps 0 is out of range. It can be 1 to 1000."),
        (["--width", "63"], "Width 63 is out of range. It can be 64 to 8192."),
        (["--checkpoint", "damaged"], "damaged.safetensors is"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(data: Path, tmp_path: Path, words: list[str], sentence: str) -> None:
    place = data / "models" / "Stable-diffusion"
    place.mkdir(parents=True, exist_ok=True)
    (place / "damaged.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 not a header")
    done = webui("generate", "x", "-o", str(tmp_path / "out.png"), *words, data=data)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    assert len(lines) == 1 and lines[0].startswith(sentence)
    assert not (tmp_path / "out.png").exists()


def test_a_disk_that_takes_no_file_is_one_sentence(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = webui("generate", "x", "--steps", "1", "-o", str(tmp_path / "file" / "out.png"), data=data)
    assert done.returncode == 2
    assert "out.png could not be saved" in done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def open_to_others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """(port, the login that it printed) of an instance started with --listen."""
    port = free_port()
    folder = tmp_path_factory.mktemp("listen")
    program = subprocess.Popen(
        [sys.executable, "-m", "webui", "--listen", "--port", str(port), "--data-dir", str(folder), "--skip-load"],
        cwd=ROOT, env=QUIET, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stdout is not None
    threading.Timer(120, program.kill).start()
    login = ""
    for line in program.stdout:
        if found := re.search(r"Log in as (\S+) with the password (\S+)", line):
            login = f"{found[1]}:{found[2]}"
            break
    yield port, login
    program.terminate()
    program.wait(20)


def test_after_pulling_the_plug_the_job_goes_on_where_it_was(tmp_path: Path) -> None:
    pictures = tmp_path / "outputs"
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    words = {"prompt": "a red cube", "steps": 4, "batch_count": 6, "seed": 100, "width": 64, "height": 64}
    words |= {"image": base64.b64encode(file.getvalue()).decode(), "strength": 0.9}
    with running(tmp_path) as (port, program):
        status, body = ask(port, "/api/v1/jobs", {"Content-Type": "application/json"}, "POST", json.dumps(words))
        assert status == 202
        until(lambda: len(list(pictures.rglob("*.png"))) >= 2)
        program.kill()
    job = json.loads(body)["id"]
    with running(tmp_path) as (port, _):
        until(lambda: json.loads(ask(port, f"/api/v1/jobs/{job}")[1])["state"] in ("finished", "failed"))
        ended = json.loads(ask(port, f"/api/v1/jobs/{job}")[1])
    assert ended["state"] == "finished", ended["error"]
    assert all(ended["request"]["image"] in image["infotext"] for image in ended["images"])
    assert [image["seed"] for image in ended["images"]] == [str(seed) for seed in range(100, 106)]
    saved = [path.name.split("-")[1] for path in sorted(pictures.rglob("*.png"))]
    assert set(saved) == {f"{seed}.png" for seed in range(100, 106)}
    assert len(saved) <= 7, "at most the picture that was being written when the plug was pulled is there twice"


@contextmanager
def running(data: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The whole program, page included."""
    port = free_port()
    program = subprocess.Popen(
        [sys.executable, "-m", "webui", "--port", str(port), "--data-dir", str(data)],
        cwd=ROOT,
        env=QUIET,
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: answers(port))
        yield port, program
    finally:
        program.terminate()
        program.wait(20)


def answers(port: int) -> bool:
    try:
        return ask(port, "/healthz")[0] == 200
    except OSError:
        return False


def until(is_so: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def ask(port: int, path: str, headers: dict[str, str] | None = None, method: str = "GET", body: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body or None, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_with_listen_a_login_is_made_up_and_a_stranger_is_refused(open_to_others: tuple[int, str]) -> None:
    port, login = open_to_others
    assert len(login.split(":")[1]) >= 12
    for path in (
        "/sdapi/v1/sd-models",
        "/sdapi/v1/options",
        "/api/v1/jobs",
        "/api/v1/events",
        "/config",
        "/gradio_api/info",
        "/look/app.js",
        "/nothing",
    ):
        assert ask(port, path)[0] == 401, path
    for path in ("/sdapi/v1/txt2img", "/api/v1/jobs", "/gradio_api/upload", "/gradio_api/queue/join"):
        assert ask(port, path, method="POST")[0] == 401, path
    status, page = ask(port, "/", {"Accept": "text/html"})
    assert status in (200, 401) and b"gradio_config" not in page and b"pocket" not in page


def test_with_listen_the_printed_login_opens_the_door(open_to_others: tuple[int, str]) -> None:
    port, login = open_to_others
    headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
    status, body = ask(port, "/sdapi/v1/sd-models", headers)
    assert status == 200 and b"pocket" in body


def test_a_foreign_host_or_origin_is_refused(open_to_others: tuple[int, str]) -> None:
    port, _ = open_to_others
    assert ask(port, "/", {"Host": "evil.example"})[0] == 421
    assert ask(port, "/sdapi/v1/txt2img", {"Origin": "https://evil.example"}, "POST")[0] == 403


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = webui("--port", str(port), data=tmp_path)
    assert done.returncode == 2
    assert f"Port {port} is in use" in done.stderr and "--port" in done.stderr

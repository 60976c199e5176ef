"""The live stream against the bare networks: how much later a frame comes, how many there are, what long streams leave behind.

The viewer is a process of its own. Bare is the time of the very calls of a frame, denoiser and tiny decoder, alone in a loop,
with the same weights, numbers, threads and batch, and traced as the stream's are; it is measured before and after each run of
the stream.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import psutil
import torch
import uvicorn
from fastapi import FastAPI

from webui.bench import full_size
from webui.bench.edges import free_port
from webui.bench.page import browser, opened_page
from webui.bench.table import Row
from webui.bench.viewer import A_SECOND
from webui.contract.errors import WebUIError
from webui.contract.live import LiveInput
from webui.contract.parts import Inputs
from webui.engine import autoencoder
from webui.engine.captured import Captures
from webui.engine.conditioning import condition
from webui.engine.generate import table_of
from webui.engine.guidance import guide
from webui.workspace.app import App
from webui.workspace.live import UNSHOWN
from webui.workspace.wishes import Wishes

SIDE = 128
Frame = dict[str, Any]
"""As webui.bench.viewer tells it."""


def bench(app: App, web: FastAPI, port: int, full: bool) -> list[Row]:
    with serving(web, port):
        typing, typed_bare = _beside_bare(app, port, "typing", 20 if full else 8)
        stream, bare = _beside_bare(app, port, "stream", 20 if full else 8)
        steady = _steady(app, port, 60 if full else 15)
        shown = _in_browser(port, 20 if full else 8)
        as_it_is = bare_seconds(app, SIDE, is_recorded=False)
    late, rate, own = _median(typing, "after") - typed_bare, _rate(stream), _median(stream, "network")
    return [
        Row("realtime", f"{SIDE} x {SIDE}, a frame's bare network calls, {torch.get_num_threads()} threads", 1000 * bare, "ms"),
        Row("realtime", "  of the same calls, not traced", bare / as_it_is),
        Row("realtime", "new words to their frame, beyond the bare calls", 1000 * late, "ms", at_most=10),
        Row("realtime", "frames a second", rate, "/s"),
        Row("realtime", "frames a second, typing", _rate(typing), "/s"),
        Row("realtime", "bare limit / frames a second", 1 / (bare * rate), at_most=1 / 0.9),
        Row("realtime", "the same calls within the stream / alone", own / bare),
        *steady,
        Row(
            "realtime",
            "milliseconds between two pictures in the browser, by its clock, while one types",
            shown,
            "ms",
            at_most=1000 / 15,
        ),
    ]


@contextmanager
def serving(web: FastAPI, port: int) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(web, port=port, log_level="error", ws_per_message_deflate=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


def _beside_bare(app: App, port: int, kind: str, seconds: float, side: int = SIDE) -> tuple[list[list[Frame]], float]:
    """(the frames that two viewers saw, seconds of the bare calls around them)"""
    rounds = []
    _viewer(port, kind, 2, side)
    while app.live.is_compiling:
        time.sleep(0.1)
    bare = [bare_seconds(app, side)]
    for _ in range(2):
        rounds.append(_viewer(port, kind, seconds / 2, side)["frames"])
        bare.append(bare_seconds(app, side))
    return rounds, statistics.median(bare)


def bare_seconds(app: App, side: int, checkpoint: str = "", rounds: int = 40, is_recorded: bool = True) -> float:
    """Median seconds of denoiser and tiny decoder, for one picture in one step; in the thread that computes for streams too.

    Args:
        is_recorded: as the stream's calls are (webui.engine.captured); else as the networks are called elsewhere.
    """
    return app.queue.machine.do(partial(_bare_seconds, app, side, checkpoint, rounds, is_recorded))


def _bare_seconds(app: App, side: int, checkpoint: str, rounds: int, is_recorded: bool) -> float:
    wishes = Wishes(app.checkpoints, app.parts)
    entry = wishes.entry(checkpoint)
    request = wishes.complete(LiveInput(input=0, prompt="a red fox", width=side, height=side), entry, "", None)
    with app.checkpoints.use(entry.title) as found, torch.inference_mode():
        captures = Captures()
        model = captures.of(found) if is_recorded else found
        table, family = table_of(model), model.family
        told = condition(request, model, app.parts, [Inputs(size=(side, side))])
        denoise = guide(model, table, *told, request.guidance or 0, 1)
        latent = side // family.latent_factor
        x = torch.randn(1, family.latent_channels, latent, latent, device=model.device) * table.sigma_max
        times = []
        for i in range(rounds + 5):
            if i == 1:
                captures.compile_ahead()
            began = time.perf_counter()
            autoencoder.quick(denoise(x, table.sigma_max), model).cpu()
            times.append(time.perf_counter() - began)
    return statistics.median(times[5:])


TYPE = """async seconds => {
  const field = document.querySelector('#turbo_prompt textarea'), words = 'a red fox on grass under a blue sky';
  const ends = performance.now() + seconds * 1000;
  for (let i = 5; performance.now() < ends; i++) {
    field.value = words.slice(0, i % words.length || 5);
    field.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise(done => setTimeout(done, 125));
  }
}"""
"""Eight letters a second: quick for a person, and half the time the prompt is on its way from one to the next."""


def _in_browser(port: int, seconds: float) -> float:
    """Milliseconds between two pictures on the Turbo tab.

    Raises:
        StartError: no browser, or nothing that drives one.
    """
    with browser() as opened:
        page = opened_page(opened, port)
        page.locator("#tab_turbo-button").click()
        page.locator("#turbo_prompt textarea").fill("a red fox")
        page.wait_for_function("LW.turbo.counts().frames > 0", timeout=120_000)
        page.evaluate(TYPE, 2)
        page.evaluate("LW.turbo.recount()")
        page.evaluate(TYPE, seconds)
        counts = page.evaluate("LW.turbo.counts()")
    return float(1000 * counts["seconds"] / (counts["frames"] - 1))


def bench_card(open_on_card: Callable[[Path], App], serve: Callable[[App, int], FastAPI]) -> list[Row]:
    """SD-Turbo's size with random weights, 512 x 512, one step, TAESD's decoder; nothing where torch sees no graphics card."""
    if not torch.cuda.is_available():
        return []
    card = torch.cuda.get_device_name()
    with tempfile.TemporaryDirectory() as folder:
        app = open_on_card(write_turbo(Path(folder)))
        try:
            port = free_port()
            with serving(serve(app, port), port):
                rounds = [_compiled(app, port) for _ in range(2)]
            bare = app.queue.machine.do(partial(_compiled_seconds, app))
        finally:
            app.close()
    apart = 1 / _rate(rounds)
    return [
        Row("realtime", f"SD-Turbo's size, 512 x 512, {card}: milliseconds a frame", 1000 * apart, "ms", at_most=1000 / 110),
        Row("realtime", "  of the bare compiled calls", apart / bare, at_most=1.3),
    ]


def _compiled(app: App, port: int, seconds: float = 5) -> list[Frame]:
    """The frames of a stream with which no compiler works any more. It begins when the first page opens."""
    _viewer(port, "stream", 1, 512, TURBO)
    while app.live.is_compiling:
        time.sleep(0.5)
    _viewer(port, "stream", 1, 512, TURBO)  # records what was compiled
    return cast(list[Frame], _viewer(port, "stream", seconds, 512, TURBO)["frames"])


TURBO = "sd_turbo"


def write_turbo(folder: Path) -> Path:
    """A data folder with a checkpoint of SD-Turbo's size and a decoder of TAESD's, both of random values."""
    checkpoints, tiny = folder / "models" / "Stable-diffusion", folder / "models" / "VAE-approx"
    for place in (checkpoints, tiny):
        place.mkdir(parents=True, exist_ok=True)
    full_size.write(checkpoints / f"{TURBO}.safetensors", full_size.sd_turbo())
    full_size.write(tiny / "taesd_decoder.safetensors", full_size.taesd())
    return folder


def _compiled_seconds(app: App) -> float:
    """Median seconds of denoiser and tiny decoder as torch.compile makes them, launched from one CUDA graph each."""
    with app.checkpoints.use(TURBO) as model, torch.inference_mode():
        networks: tuple[Any, Any] = (model.unet, autoencoder.quick_decoder(model))
        words = torch.zeros(1, 77, model.family.context_width, device=model.device, dtype=model.dtype)
        x = torch.randn(1, 4, 64, 64, device=model.device, dtype=model.dtype).contiguous(memory_format=model.memory_format)
        unet, decode = (torch.compile(network, mode="reduce-overhead") for network in networks)
        t, times = torch.tensor(999.0, device=model.device), []
        for _ in range(60):
            began = time.perf_counter()
            torch.compiler.cudagraph_mark_step_begin()
            decode(unet(x, t, encoder_hidden_states=words, return_dict=False)[0].clone())  # the next graph may write over it
            torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
    return statistics.median(times[20:])


def _rate(rounds: list[list[Frame]]) -> float:
    """Frames a second."""
    gaps = [later["at"] - sooner["at"] for frames in rounds for sooner, later in pairwise(frames)]
    return len(gaps) / sum(gaps)


def _median(rounds: list[list[Frame]], what: str) -> float:
    return statistics.median(frame[what] for frames in rounds for frame in frames)


def _steady(app: App, port: int, seconds: float) -> list[Row]:
    """More inputs than can be drawn, or fewer: nothing may pile up, and the last one must be what is shown in the end."""
    process, memory, behind, is_over = psutil.Process(), list[int](), [0], threading.Event()

    def look() -> None:
        while not is_over.wait(0.05):
            memory.append(process.memory_info().rss)
            behind.append(app.live.behind)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        seen = _viewer(port, "steady", seconds, SIDE)
    finally:
        is_over.set()
        watcher.join()
    third = len(memory) // 3
    growth = statistics.median(memory[-third:]) - statistics.median(memory[third : 2 * third])
    what = f"{A_SECOND} inputs a second for {seconds:g} s"
    return [
        Row("realtime", f"{what}: inputs and frames on their way, at most", max(behind), at_most=1 + UNSHOWN),
        Row("realtime", f"{what}: growth of memory in the last third", growth / 2**20, "MB", at_most=8),
        Row(
            "realtime",
            f"{what}: the last frame is the last input's",
            float(seen["frames"][-1]["input"] == seen["last"]),
            exactly=1,
        ),
    ]


def _viewer(port: int, kind: str, seconds: float, side: int, checkpoint: str = "") -> dict[str, Any]:
    command = [sys.executable, "-m", "webui.bench.viewer", str(port), kind, str(seconds), str(side), checkpoint]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WebUIError(f"The viewer of the measurement failed: {done.stderr.strip().splitlines()[-1:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told

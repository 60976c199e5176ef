"""Four different requests drawn side by side, against one after the other.

They differ in prompt, sampler, schedule, guidance and number of steps, as those of several users do. One thread of the
processor, the pocket checkpoint, 128 x 128; all of a picture counts, from its words to its pixels.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from webui.bench.table import Row
from webui.contract.request import GenerationRequest
from webui.engine import autoencoder, plan
from webui.engine.canvas import no_pictures
from webui.engine.company import Company
from webui.engine.generate import Studio
from webui.engine.watch import Unobserved
from webui.workspace.app import App

REQUESTS = tuple(
    GenerationRequest(
        prompt=prompt, sampler=sampler, schedule=schedule, steps=steps, guidance=guidance, seed=seed, checkpoint="pocket"
    )
    for seed, (prompt, sampler, schedule, steps, guidance) in enumerate(
        [
            ("a red sphere on a checkered floor", "Euler", "Karras", 18, 4.0),
            ("a blue cube", "DPM++ 2M", "Karras", 20, 2.4),
            ("a green cone, a yellow cylinder", "Euler a", "Exponential", 22, 3.0),
            ("a frog on a wooden floor", "DDIM", "Automatic", 24, 5.0),
        ]
    )
)


def bench(app: App, full: bool) -> list[Row]:
    """CPU seconds of both ways in turn, and how far the pictures are apart."""
    with _one_thread():
        alone: list[list[Tensor]] = [[] for _ in REQUESTS]
        beside: list[list[Tensor]] = [[] for _ in REQUESTS]
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(9 if full else 4):
            seconds[0].append(_spent(lambda: [_draw(app, one, into)() for one, into in zip(REQUESTS, alone, strict=True)]))
            seconds[1].append(_spent(lambda: _together(app, beside)))
    apart = max(float((a[0] - b[0]).abs().max()) for a, b in zip(alone, beside, strict=True))
    repeats = sum(not torch.equal(pictures[0], other) for pictures in alone for other in pictures[1:])
    one_by_one, together = (statistics.median(some[1:]) for some in seconds)
    return [
        Row("batching", "four requests, one after the other", one_by_one, "CPU s"),
        Row("batching", "four requests, side by side", together, "CPU s"),
        Row("batching", "side by side / one after the other", together / one_by_one, at_most=1 / 1.3),
        Row("batching", "a picture in company, farthest from alone (0 to 1)", apart, at_most=1e-4),
        Row("batching", "pictures that differ when drawn alone again", repeats, exactly=0),
    ]


def _together(app: App, into: list[list[Tensor]]) -> None:
    company = Company()

    def ended(error: BaseException | None) -> None:
        if error is not None:
            raise error

    for one, pictures in zip(REQUESTS, into, strict=True):
        company.join(_draw(app, one, pictures), ended)
    company.run()


def _draw(app: App, request: GenerationRequest, into: list[Tensor]) -> Callable[[], None]:
    """The journey of one picture; its pixels (1, 3, H, W) in 0 to 1 are put into the list."""

    def go() -> None:
        complete = plan.complete(request, app.checkpoints, app.parts)
        studio = Studio(app.checkpoints, app.parts, Unobserved(), no_pictures)
        (batch,) = plan.batches(complete)
        (painted,) = studio.paint(batch.passes[0], batch, batch.share(0, 1), [])
        with app.checkpoints.use("pocket") as model, torch.inference_mode():
            into.append(autoencoder.decoded(painted.latents, model).float() / 2 + 0.5)

    return go


def _spent(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

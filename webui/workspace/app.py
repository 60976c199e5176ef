"""The handles that the edges (page, API, command line) receive. Built once, by webui.main."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from webui.checkpoints import memory
from webui.checkpoints.catalog import Catalog
from webui.checkpoints.download import Shelf
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.tokenizer import clip_tokenizer
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.contract.result import GeneratedImage
from webui.engine import plan, prompt
from webui.engine.generate import generate
from webui.engine.watch import Observer
from webui.plugins import Extension
from webui.workspace.gallery import Gallery
from webui.workspace.inputs import Inputs, names_in
from webui.workspace.paths import Paths
from webui.workspace.queue import JobQueue
from webui.workspace.settings import SettingsStore


@dataclass(frozen=True)
class App:
    """Everything that outlives a request."""

    paths: Paths
    parts: Parts
    settings: SettingsStore
    checkpoints: Checkpoints
    gallery: Gallery
    inputs: Inputs
    shelf: Shelf
    queue: JobQueue
    extensions: tuple[Extension, ...] = ()

    def complete(self, request: GenerationRequest) -> GenerationRequest:
        """The request with nothing left open. Raises RequestError or CheckpointError."""
        self.inputs.check(request)
        return plan.complete(request, self.checkpoints, self.parts, self.inputs.open)

    def generate(self, request: GenerationRequest, observer: Observer | None = None, skip: int = 0) -> Iterator[GeneratedImage]:
        """Draw a request here and now, beside the queue; see webui.engine.generate."""
        return generate(request, self.checkpoints, self.parts, observer, skip, self.inputs.open)

    def count_tokens(self, text: str) -> tuple[int, int]:
        """(tokens used, room for them: a multiple of 75). Needs no weights."""
        return prompt.count(text, clip_tokenizer(), "Original")

    def choose_checkpoint(self, name: str) -> str:
        """Make a checkpoint the one in use, now and at the next start; its title. Raises CheckpointError."""
        title = self.checkpoints.choose(name).title
        self.settings.change(checkpoint=title)
        return title

    def close(self) -> None:
        self.queue.close()


def open_app(
    paths: Paths,
    parts: Parts,
    extensions: tuple[Extension, ...] = (),
    *,
    extra_checkpoints: Sequence[Path] = (),
    more_models: Sequence[Path] = (),
    checkpoint: str = "",
    cpu_only: bool = False,
    takes_jobs: bool = True,
) -> App:
    """Open the workspace in a data folder.

    Args:
        extra_checkpoints: further folders that hold checkpoints.
        more_models: further folders laid out like models/.
        checkpoint: the one to start with; "" is the one of last time.
        takes_jobs: whether to go on with the jobs of last time and take new ones (not beside a running page).
    """
    settings = SettingsStore(paths.settings_file)
    shelf = Shelf([*paths.models, *more_models])
    catalog = Catalog([*paths.models, *more_models], extra_checkpoints, parts.families, paths.state / "hashes.json")
    checkpoints = Checkpoints(
        catalog, settings.now.checkpoint, memory.best_device(cpu_only), paths.state, settings.now.host_memory_share, shelf
    )
    if checkpoint:
        checkpoints.choose(checkpoint)
    gallery, inputs = Gallery(paths.outputs), Inputs(paths.state / "inputs")

    def complete(request: GenerationRequest) -> GenerationRequest:
        inputs.check(request)
        return plan.complete(request, checkpoints, parts, inputs.open)

    queue = JobQueue(
        complete,
        lambda request, observer, skip: generate(request, checkpoints, parts, observer, skip, inputs.open),
        gallery,
        settings,
        paths.state / "jobs",
        starts=takes_jobs,
    )
    if takes_jobs:
        inputs.forget(names_in(job.request for job in queue.jobs()))
    return App(paths, parts, settings, checkpoints, gallery, inputs, shelf, queue, extensions)

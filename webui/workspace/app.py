"""The handles that the edges (page, API, command line) receive. Built once, by webui.main."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pluggy import PluginManager

from webui.checkpoints import memory
from webui.checkpoints.catalog import Catalog
from webui.checkpoints.download import Shelf
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.offloading import Wish
from webui.checkpoints.scan import WORDS, Weights, folders_of, weights_in
from webui.checkpoints.tokenizer import clip_tokenizer
from webui.checkpoints.upscalers import Upscalers
from webui.checkpoints.watching import Watcher
from webui.contract.parts import Parts
from webui.contract.request import EnlargeRequest, GenerationRequest
from webui.contract.result import EnlargedImage, GeneratedImage
from webui.engine import enlarge, enlarging, fit, plan, prompt, scripts
from webui.engine.resizing import LATENT_MODES
from webui.engine.sizes import Size
from webui.engine.watch import Observer, Unobserved
from webui.plugins import Extension
from webui.workspace import drawing
from webui.workspace.extensions import ExtensionSwitches
from webui.workspace.gallery import Gallery
from webui.workspace.inputs import Inputs, names_in
from webui.workspace.installs import Installs, installer_of
from webui.workspace.live import Live
from webui.workspace.notebook import Notebook
from webui.workspace.own import Owns
from webui.workspace.paths import Paths
from webui.workspace.queue import JobQueue
from webui.workspace.readers import Readers
from webui.workspace.settings import SettingsStore
from webui.workspace.telling import Telling
from webui.workspace.troubles import Troubles

_log = logging.getLogger(__name__)


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
    live: Live
    switches: ExtensionSwitches
    owns: Owns
    """Each extension's own settings and folder."""
    notebook: Notebook
    """The user's notes on checkpoints, and settings of theirs."""
    watcher: Watcher
    folders: Mapping[str, Sequence[Path]]
    """Where files of other kinds than checkpoints lie, by a key of webui.checkpoints.scan.WORDS."""
    plugins: PluginManager | None = None
    """Those that run; None: only ours do."""
    extensions: tuple[Extension, ...] = ()
    troubles: Troubles = field(default_factory=Troubles)
    """What extensions failed in while the program ran."""
    telling: Telling | None = None
    """Tells extensions what happens; None: nobody does."""
    installs: Installs | None = None
    """Installs, updates and removes extensions; None: nobody does."""

    @property
    def upscalers(self) -> Upscalers:
        return self.checkpoints.upscalers

    def complete(self, request: GenerationRequest) -> GenerationRequest:
        """The request with nothing left open. Raises RequestError or CheckpointError."""
        self.inputs.check(request)
        return plan.complete(request, self.checkpoints, self.parts, self.inputs.open)

    def preload(self) -> None:
        """Have the checkpoint in use in memory. Raises CheckpointError."""
        with self.checkpoints.use():
            pass

    def generate(self, request: GenerationRequest, observer: Observer | None = None) -> Iterator[GeneratedImage]:
        """Draw a request here and now, beside the queue, by the scripts that it is for; see webui.engine.scripts."""
        for _, picture in scripts.draw(request, self.checkpoints, self.parts, observer, pictures=self.inputs.open):
            yield picture

    def enlarge(self, request: EnlargeRequest, observer: Observer | None = None) -> EnlargedImage:
        """Enlarge a picture here and now, beside the queue. Raises RequestError or CheckpointError."""
        self.inputs.check(request)
        return drawing.enlarged(request, self.checkpoints, self.parts, self.inputs, observer or Unobserved(), self.infotext_of)

    @property
    def infotext_of(self) -> Readers:
        """(a picture's file) -> the infotext in it, ours or as an extension reads it; "" where there is none."""
        return Readers(self.parts, self.troubles)

    def upscaler_names(self) -> list[str]:
        """All upscalers that can be used, Lanczos first; upscalers.entries() has the files that cannot, with their reasons."""
        return enlarging.names(self.checkpoints, self.parts)

    def hires_upscaler_names(self) -> list[str]:
        """For hires fix, which also enlarges latents: Latent first."""
        return [*LATENT_MODES, *self.upscaler_names()]

    def hires_size(self, request: GenerationRequest) -> Size:
        """(width, height) that hires fix makes of a request. Raises FieldError, CheckpointError."""
        family = plan.readable(self.checkpoints.find(request.checkpoint))
        width, height = fit.size(request, family, self.inputs.open)
        return plan.hires(replace(request, width=width, height=height)).size

    def enlarged_size(self, request: EnlargeRequest) -> Size:
        """(width, height) that comes out. Raises FieldError."""
        return enlarge.growth(request, self.inputs.open(request.image).size).size

    def depth_of(self, picture: str, checkpoint: str = "") -> str:
        """The estimated depth of a kept picture, white is near, kept too; its name.

        Args:
            checkpoint: that estimates it where it can; "" is the one in use. Else another one that can.

        Raises:
            FieldError: no checkpoint here reads depth, or the picture is not kept.
            MissingFileError: the estimator is a file of its own, and not here.
        """
        return self.inputs.put(enlarge.depth_of(self.inputs.open(picture), self.checkpoints, checkpoint))

    def count_tokens(self, text: str) -> tuple[int, int]:
        """(tokens used, room for them: a multiple of 75). Needs no weights."""
        return prompt.count(text, clip_tokenizer(), "Original")

    def choose_checkpoint(self, name: str) -> str:
        """Make a checkpoint the one in use, now and at the next start; its title. It is read behind what is drawn meanwhile, and
        the one from before is in use again where it cannot be read. Raises CheckpointError."""
        return self.checkpoints.prefer(name, lambda title: self.settings.change(checkpoint=title)).title

    def files(self, kind: str) -> list[Weights]:
        """Autoencoders ("VAE"), "Lora", "embeddings", ... as they lie in their folders now."""
        return weights_in(self.folders[kind])

    def watch(self) -> None:
        """From now on, files that come, change and go are seen by themselves, and hashed. Pages hear of it."""
        self.checkpoints.catalog.on_change(lambda: self.queue.announce("checkpoints"))
        self.queue.announce("checkpoints")  # for what a page that is open already has missed
        self.watcher.start()

    def close(self) -> None:
        self.watcher.close()
        self.checkpoints.catalog.close()
        self.live.close()
        self.queue.close()
        if self.installs:
            self.installs.close()
        self.checkpoints.close()
        if self.telling:
            self.telling.close()


def open_app(
    paths: Paths,
    parts: Parts,
    extensions: tuple[Extension, ...] = (),
    *,
    plugins: PluginManager | None = None,
    owns: Owns | None = None,
    extra_checkpoints: Sequence[Path] = (),
    extra_upscalers: Sequence[Path] = (),
    more_models: Sequence[Path] = (),
    checkpoint: str = "",
    cpu_only: bool = False,
    turns: Wish = "",
    takes_jobs: bool = True,
    extensions_are_off: bool = False,
    extra_files: Mapping[str, Sequence[Path]] | None = None,
    patience: float | None = None,
    hashes: bool = True,
) -> App:
    """Open the workspace in a data folder.

    Args:
        plugins: whose event hooks are told what happens. owns: what belongs to each of them.
        extra_checkpoints, extra_upscalers: further folders that hold them.
        more_models: further folders laid out like models/.
        checkpoint: the one to start with; "" is the one of last time.
        turns: how networks take turns on a graphics card although they might fit; "" where memory decides.
        takes_jobs: whether to go on with the jobs of last time and take new ones (not beside a running page).
        extensions_are_off: none was loaded in this run, whatever the user has enabled.
        extra_files: further folders of files of other kinds, by a key of webui.checkpoints.scan.WORDS.
        patience: seconds that whoever lists checkpoints waits for the disk; None: as long as it takes.
        hashes: whether App.watch hashes what nobody has used yet.
    """
    owns, troubles = owns or Owns(paths.state / "extensions", parts), Troubles()
    telling = Telling(plugins, owns, troubles, paths.outputs)
    settings = SettingsStore(paths.settings_file, telling.of_settings)
    shelf = Shelf([*paths.models, *more_models], extra_files)
    hashes_file = paths.state / "hashes.json"
    catalog = Catalog([*paths.models, *more_models], extra_checkpoints, parts.families, hashes_file, patience)
    notebook = Notebook(paths.state / "checkpoints.json")
    device = memory.best_device(cpu_only)
    if turns and device.type == "cpu":
        _log.warning("--medvram and --lowvram are not needed here: there is no graphics card whose memory could be spared.")
    checkpoints = Checkpoints(
        catalog,
        settings.now.checkpoint,
        device,
        paths.state,
        settings.now.host_memory_share,
        shelf,
        upscalers=Upscalers([*paths.models, *more_models], device, extra_upscalers, patience),
        on_loaded=telling.of_checkpoint,
        own_defaults=notebook.defaults,
        wish=turns,
    )
    if checkpoint:
        checkpoints.choose(checkpoint)
    gallery, inputs = Gallery(paths.outputs), Inputs(paths.state / "inputs")

    read = Readers(parts, troubles)
    queue = JobQueue(
        lambda request, tab: drawing.prepared(request, tab, checkpoints, parts, inputs),
        lambda request, observer, kept: drawing.draw(request, checkpoints, parts, inputs, observer, kept, read),
        gallery,
        settings,
        paths.state / "jobs",
        starts=takes_jobs,
        previews_at_once=checkpoints.device.type == "cpu",
        may_share=lambda request, others: drawing.may_share(request, others, checkpoints),
        is_ready=checkpoints.is_ready,
        heard=telling.of_queue,
    )
    if takes_jobs:
        inputs.forget(names_in(job.request for job in queue.jobs()))
    live = Live(checkpoints, parts, queue, inputs)
    switches = ExtensionSwitches(paths.switches_file, extensions_are_off)
    running = {one.name for one in extensions}
    ours = tuple(name for name, _ in plugins.list_name_plugin() if name not in running) if plugins else ()
    watcher = Watcher(catalog, lambda: queue.announce("checkpoints"), lambda: queue.running() is not None, hashes)
    models, more = [*paths.models, *more_models], extra_files or {}
    folders = {kind: folders_of(kind, models, more.get(kind, ())) for kind in WORDS}
    rest = (
        owns,
        notebook,
        watcher,
        folders,
        plugins,
        extensions,
        troubles,
        telling,
        Installs(installer_of(paths, ours), switches),
    )
    return App(paths, parts, settings, checkpoints, gallery, inputs, shelf, queue, live, switches, *rest)

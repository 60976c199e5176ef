"""For the tests of an extension: the whole program with it, and with no other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webui.contract.errors import PluginError
from webui.main import built_in
from webui.plugins.loading import look_over
from webui.workspace.app import App, open_app
from webui.workspace.own import Owns
from webui.workspace.paths import Paths


@contextmanager
def program(*folders: Path, takes_jobs: bool = False, data: Path | None = None) -> Iterator[App]:
    """The program on the processor with the extensions of these folders and no others, and the checkpoints that come with it.

    No page and no port is opened. See webui.workspace.app.App for what it can do:
    generate(request) draws, parts has the registries.

    Args:
        takes_jobs: whether its queue draws, so that app.queue.submit(request) makes a job.
        data: its data folder, for what is to be there again the next time; None: one that goes away afterwards.

    Raises:
        PluginError: one of them cannot be loaded; says why.
    """
    parts, plugins = built_in()
    loaded = []
    with tempfile.TemporaryDirectory() as passing:
        paths = Paths(data or Path(passing))
        owns = Owns(paths.state / "extensions", parts)
        for folder in folders:
            extension, faults = look_over(parts, plugins, folder.absolute(), owns)
            if extension.error:
                raise PluginError("\n".join(map(str, faults)) or extension.error)
            loaded.append(extension)
        app = open_app(paths, parts, tuple(loaded), plugins=plugins, owns=owns, cpu_only=True, takes_jobs=takes_jobs)
        try:
            yield app
        finally:
            app.close()

"""The roof: reads the command line, builds everything once, starts the page or one of the commands.

The only file that knows every room.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from webui import __version__
from webui.contract.errors import PluginError, StartError, WebUIError
from webui.flags import COMMANDS, Flags, parse
from webui.workspace.commands import remember, remembered
from webui.workspace.paths import Paths

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI
    from pluggy import PluginManager

    from webui.api.access import Access
    from webui.checkpoints.model import Model
    from webui.contract.parts import Parts
    from webui.plugins import Extension
    from webui.workspace.app import App
    from webui.workspace.own import Owns

# Nothing leaves the machine unasked: no telemetry, and no look at a model hub when a checkpoint is opened.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")

_log = logging.getLogger("webui")
PATIENCE = 0.5
"""Seconds that a page waits for the disk before it shows what is known of the checkpoints."""


def main(argv: list[str] | None = None) -> int:
    """Run the program; its exit code. 2: something asked for cannot be done, said in one sentence on stderr."""
    flags = parse(sys.argv[1:] if argv is None else argv, known_commands)
    logging.basicConfig(level=flags.loglevel.upper(), format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpcore", "PIL", "asyncio", "multipart", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    commands = {
        "": serve,
        "generate": run_generate,
        "upscale": run_upscale,
        "train": run_train,
        "evaluate": run_evaluate,
        "bench": run_bench,
        "verify": run_verify,
        "list": run_list,
        "extensions": run_extensions,
        "fetch": run_fetch,
    }
    try:
        return commands.get(flags.command, run_added)(flags)
    except WebUIError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def paths_of(flags: Flags) -> Paths:
    """The folders; the user's is made where it is missing.

    Raises:
        StartError: it cannot be written to.
    """
    default = Paths(Path.cwd()).project
    paths = Paths(flags.data_dir or default)
    try:
        paths.state.mkdir(parents=True, exist_ok=True)
        (paths.data / "models" / "Stable-diffusion").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"{paths.data} cannot be written to ({error.strerror}). Choose another folder with --data-dir."
        ) from None
    return paths


@dataclass(frozen=True)
class Found:
    """What plugs in."""

    parts: Parts
    extensions: tuple[Extension, ...]
    plugins: PluginManager
    """Those that run, by name."""
    owns: Owns


def built_in() -> tuple[Parts, PluginManager]:
    """The registries, filled by the built-in plugins alone."""
    from webui import plugins
    from webui.checkpoints import families
    from webui.contract.parts import Parts
    from webui.engine import builtin
    from webui.engine.resizing import LATENT_MODES
    from webui.engine.upscale import BUILT_IN
    from webui.workspace.own import Owns

    parts, manager = Parts(), plugins.manager()
    parts.commands.reserve(COMMANDS)
    parts.upscalers.reserve([*LATENT_MODES, *(one.name for one in BUILT_IN)])
    owns = Owns(Path(), parts)  # ours have none: their settings are the program's
    for name, plugin in {"checkpoints": families, "engine": builtin}.items():
        manager.register(plugin, name=name)
        plugins.fill(parts, manager, name, owns(name))
    return parts, manager


def find_plugins(paths: Paths, with_extensions: bool = True) -> Found:
    """The registries, filled by the built-in plugins and by the extensions of the folders, each through the same hooks."""
    from webui import plugins
    from webui.workspace.extensions import ExtensionSwitches
    from webui.workspace.own import Owns

    parts, manager = built_in()
    owns = Owns(paths.state / "extensions", parts)
    if not with_extensions:
        return Found(parts, (), manager, owns)
    disabled = ExtensionSwitches(paths.switches_file).disabled
    extensions = plugins.load_extensions(parts, manager, paths.extensions, owns, disabled)
    for extension in extensions:
        if extension.error and extension.is_enabled:
            _log.error("extension %s is switched off: %s", extension.name, extension.error)
            _log.debug("%s", extension.details)
    remember(paths.commands_file, parts.commands)
    return Found(parts, extensions, manager, owns)


def find_parts(paths: Paths, with_extensions: bool = True) -> tuple[Parts, tuple[Extension, ...]]:
    """The registries and the extensions alone."""
    found = find_plugins(paths, with_extensions)
    return found.parts, found.extensions


def open_workspace(flags: Flags, takes_jobs: bool = True, found: Found | None = None) -> App:
    """The handles that the edges receive; a command beside a running page takes no jobs.

    Args:
        found: what plugs in, where that was looked for already.
    """
    from webui import plugins
    from webui.workspace.app import open_app

    paths = paths_of(flags)
    found = found or find_plugins(paths, not flags.disable_all_extensions)
    extensions = found.extensions
    if flags.disable_all_extensions:  # told of, so that the one in the way can be disabled on the page
        extensions = plugins.find_extensions(paths.extensions)
    return open_app(
        paths,
        found.parts,
        extensions,
        plugins=found.plugins,
        owns=found.owns,
        extra_checkpoints=flags.folders.get("Stable-diffusion", ()),
        extra_upscalers=[folder for kind in ("ESRGAN", "RealESRGAN", "DAT") for folder in flags.folders.get(kind, ())],
        more_models=flags.models_dirs,
        checkpoint=flags.checkpoint,
        cpu_only=flags.cpu,
        turns=flags.turns,
        takes_jobs=takes_jobs,
        extensions_are_off=flags.disable_all_extensions,
        extra_files=flags.folders,
        patience=PATIENCE if takes_jobs else None,
        hashes=not flags.no_hashing,
    )


# ---------------------------------------------------------------- the page


def serve(flags: Flags) -> int:
    """Start the page and the API, until Ctrl C."""
    listener = bind(flags.address, flags.port)  # before anything heavy: a port in use is said at once
    import uvicorn

    app = open_workspace(flags)
    try:
        web, access = build_web(app, flags)
        config = uvicorn.Config(
            web,
            log_level="warning",
            proxy_headers=False,
            timeout_keep_alive=flags.timeout_keep_alive,
            timeout_graceful_shutdown=2,
            ws_per_message_deflate=False,  # a JPEG gets no smaller by it
            ssl_keyfile=flags.tls_keyfile,
            ssl_certfile=flags.tls_certfile,
        )
        server = uvicorn.Server(config)
        threading.Thread(target=greet, args=(server, app, access, flags), name="greet", daemon=True).start()
        server.run(sockets=[listener])
    finally:
        app.close()
    return 0


def build_web(app: App, flags: Flags) -> tuple[FastAPI, Access]:
    """The FastAPI app with the page mounted in it, and who may come in."""
    from webui.api.access import Access
    from webui.api.server import build

    access = Access.for_flags(
        listen=flags.is_reachable,
        share=flags.share,
        auth=",".join(f"{user}:{word}" for user, word in flags.auth) or None,
        no_login=flags.no_login,
        port=flags.port,
        server_name=flags.host or None,
        allow_remote_extensions=flags.allow_remote_extensions,
    )
    web = build(app, access)
    if not flags.nowebui:
        from webui.ui import page

        web = page.mount(web, app, can_choose=not access.is_read_only)
    return web, access


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        StartError: the port is in use, or may not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"Port {port} is in use, perhaps by this program in another window. Choose another one with --port {port + 1}."
            ) from None
        raise StartError(
            f"{host}:{port} cannot be used ({error.strerror}). Choose another one with --port, or another --host."
        ) from None


def greet(server: uvicorn.Server, app: App, access: Access, flags: Flags) -> None:
    """When the port is open: say where the page is, open the browser, the tunnel, and the checkpoint, in this order."""
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.02)
    scheme = "https" if flags.tls_certfile else "http"
    shown = "localhost" if flags.address in ("127.0.0.1", "0.0.0.0", "::", "::1") else flags.address
    print(f"Latent WebUI {__version__} is at {scheme}://{shown}:{flags.port}", flush=True)
    login = "Log in as {} with the password {}".format(*access.made_up) if access.made_up else ""
    if login:
        print(f"{login} (choose your own with --auth user:password)", flush=True)
    elif access.is_read_only:
        print("Others can reach this page without a login, so settings and files stay as they are.", flush=True)
    if flags.autolaunch:
        webbrowser.open(f"{scheme}://{shown}:{flags.port}")
    if flags.share:
        from webui.api.share import Share

        Share(
            access,
            flags.port,
            on_change=lambda share: print(f"Share link: {share.url}  {login}" if share.url else share.problem, flush=True),
        ).start()
    if not flags.skip_load:
        try:
            app.queue.machine.do(app.preload)
        except WebUIError as error:
            _log.error("%s", error)
    app.watch()


# ---------------------------------------------------------------- commands


def run_added(flags: Flags) -> int:
    """webui NAME ...: a command of an extension. What is none of ours has to wait until all extensions are loaded."""
    from webui.added_command import run

    found = find_plugins(paths_of(flags), not flags.disable_all_extensions)
    words = flags.options["words"]
    return run(flags.command, words, found.parts.commands, lambda: open_workspace(flags, takes_jobs=False, found=found))


def known_commands(data: Path | None) -> Mapping[str, str]:
    """Commands of extensions, as they were when extensions were loaded last: for a help that does not load any."""
    return remembered(Paths(data or Paths(Path()).project).commands_file)


def run_generate(flags: Flags) -> int:
    """webui generate PROMPT [-o FILE]: pictures without the page."""
    from webui.commands import generate

    return generate(flags, lambda: open_workspace(flags, takes_jobs=False))


def run_upscale(flags: Flags) -> int:
    """webui upscale PICTURE [-o FILE]: a picture or a folder enlarged without the page."""
    from webui.commands import upscale

    return upscale(flags, lambda: open_workspace(flags, takes_jobs=False))


def run_list(flags: Flags) -> int:
    """webui list [NAME]: checkpoints, samplers, schedules, scripts, what else a request may name, families, extensions."""
    import json

    from webui.checkpoints.scan import WORDS
    from webui.engine.own_options import offered

    app = open_workspace(flags, takes_jobs=False)
    try:
        lists = {
            "checkpoints": [
                f"{entry.title}  {entry.error or (entry.family.label if entry.family else '')}"
                for entry in app.checkpoints.entries()
            ],
            "samplers": app.parts.samplers.names(),
            "schedules": ["Automatic", *app.parts.schedules.names()],
            "scripts": app.parts.scripts.names(),
            "conditioners": [part.name for part in offered(app.parts.conditioners)],
            "guiders": app.parts.guiders.names(),
            "preprocessors": app.parts.preprocessors.names(),
            **{WORDS[kind]: [file.title for file in app.files(kind)] for kind in app.folders},
            "families": [f"{row.name}  {row.about}" for row in app.parts.families],
            "extensions": [
                f"{one.name} {one.version}  {one.error or ('' if one.is_enabled else 'disabled')}".rstrip()
                for one in app.extensions
            ],
        }
    finally:
        app.close()
    name = flags.options.get("name", "")
    if name and name not in lists:
        raise StartError(f"There is no list of {name!r}. Known: {', '.join(lists)}.")
    chosen = {name: lists[name]} if name else lists
    for title, rows in chosen.items():
        print(f"{title}:", *(f"  {row}" for row in rows or ["(none)"]), sep="\n")
    if target := flags.options.get("json"):
        Path(target).write_text(json.dumps(chosen, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


@contextmanager
def pocket(paths: Paths, parts: Parts) -> Iterator[Model]:
    """The checkpoint that comes with the program, on the processor. Raises CheckpointError."""
    from webui.workspace.app import open_app

    app = open_app(paths, parts, cpu_only=True, takes_jobs=False)
    try:
        with app.checkpoints.use("pocket") as model:
            yield model
    finally:
        app.close()


def run_extensions(flags: Flags) -> int:
    """webui extensions [list | new NAME | check PATH | install SOURCE | update, rollback, remove NAME | lock]."""
    from webui import added_command
    from webui.api import added
    from webui.checkpoints.families import SD1
    from webui.engine.trial import faults
    from webui.engine.trial_conditioners import conditioner_faults
    from webui.plugins.command import Program, run
    from webui.workspace.installs import installer_of
    from webui.workspace.own import Owns

    def tries(parts: Parts, name: str) -> Iterator[PluginError]:
        found = [faults(parts, name, SD1), added.faults(parts, name), added_command.faults(parts, name)]
        found.append(conditioner_faults(parts, name, lambda: pocket(paths, parts)))
        if name in map(parts.tabs.owner, parts.tabs.names()) or name in map(parts.panels.owner, parts.panels.names()):
            from webui.ui import trial  # brings Gradio, which takes a second

            found.append(trial.faults(parts, name))
        return chain.from_iterable(found)

    paths = paths_of(flags)
    program = Program(
        folders=paths.extensions,
        constraints=paths.constraints,
        find=lambda: find_parts(paths, not flags.disable_all_extensions),
        built_in=built_in,
        tries=tries,
        own=lambda parts: Owns(paths.state / "extensions", parts),
        installer=lambda: installer_of(paths, tuple(name for name, _ in built_in()[1].list_name_plugin())),
    )
    return run(flags.options, program)


def run_fetch(flags: Flags) -> int:
    """webui fetch [NAME]: a file that is not bundled, from the hub; without a name: which there are."""
    from webui.checkpoints.download import EXTRAS, Shelf

    shelf = Shelf([*paths_of(flags).models, *flags.models_dirs])
    name = flags.options.get("name", "")
    if not name:
        for key, extra in EXTRAS.items():
            found = shelf.find(key)
            print(f"{key}  {extra.size}, {extra.about}: {f'is at {found}' if found else 'not there'}")
        return 0
    told = -1

    def progress(done: int, total: int) -> None:
        nonlocal told
        percent = 100 * done // total if total else 0
        if percent // 10 > told // 10:
            told = percent
            print(f"{name}: {percent} %", file=sys.stderr, flush=True)

    print(shelf.fetch(name, progress))
    return 0


def run_train(flags: Flags) -> int:
    from webui.training.command import train

    return train(flags.options, paths_of(flags).state)


def run_evaluate(flags: Flags) -> int:
    from webui.training.command import evaluate

    return evaluate({**flags.options, "checkpoint": flags.checkpoint}, paths_of(flags))


def run_bench(flags: Flags) -> int:
    from webui.bench.command import Program, bench

    def in_folder(folder: Path, cpu: bool = True) -> Flags:
        return replace(flags, data_dir=folder, cpu=cpu, disable_all_extensions=True)

    program = Program(
        open=lambda folder: open_workspace(in_folder(folder)),
        open_on_card=lambda folder: open_workspace(in_folder(folder, cpu=False)),
        serve=lambda app, port: build_web(app, replace(in_folder(app.paths.data), port=port, nowebui=True))[0],
        serve_page=lambda app, port: build_web(app, replace(in_folder(app.paths.data), port=port))[0],
    )
    return bench(flags.options, program)


def run_verify(flags: Flags) -> int:
    """webui verify FOLDER: built cases of the releases' own numbers against ours."""
    from webui.verify.command import verify

    paths = paths_of(flags)
    parts, _ = find_parts(paths, with_extensions=False)
    return verify(Path(flags.options["folder"]).expanduser(), parts, [*paths.models, *flags.models_dirs])

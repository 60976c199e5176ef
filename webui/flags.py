"""The command line: one table of flags, read into one frozen value.

Our own name of a flag comes first, the names that users of other web UIs type are aliases. Flags of theirs that have
no meaning here are accepted with a word on stderr, unknown ones too; only a wrong value ends the start.
"""

from __future__ import annotations

import difflib
import ipaddress
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from webui import __version__
from webui.flag_kinds import (
    Flag,
    Wrong,
    file,
    listed,
    login_file,
    logins,
    name,
    number,
    one_of,
    origins,
    path,
    pattern,
    subpath,
    whole,
)
from webui.foreign_flags import ACCEPTED, MEMORY
from webui.request_flags import ENLARGING, REQUEST


@dataclass(frozen=True)
class Flags:
    """What was asked on the command line. Folders and files are absolute."""

    command: str = ""
    """"" starts the page; else one of COMMANDS, or what may be a command of an extension: its words are options["words"]."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a GenerationRequest that `generate` was given, or of an EnlargeRequest that `upscale` was; limits are not
    checked yet, and pictures are files."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Other options of the command: name, output, json, full, ... Only those that were given."""
    port: int = 7860
    listen: bool = False
    host: str = ""
    share: bool = False
    auth: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(user, password) pairs."""
    no_login: bool = False
    data_dir: Path | None = None
    models_dirs: tuple[Path, ...] = ()
    """Further folders laid out like models/."""
    folders: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """Further folders of one kind, by the name that its folder has in models/ ("Stable-diffusion", "Lora", ...)."""
    checkpoint: str = ""
    """The checkpoint to start with; "" is the one of the settings."""
    autolaunch: bool = False
    cpu: bool = False
    device_id: int | None = None
    medvram: bool = False
    medvram_sdxl: bool = False
    lowvram: bool = False
    theme: str = ""
    """"dark", "light", or "" for what the browser wishes."""
    subpath: str = ""
    """Like "/sd"; "" is the root."""
    nowebui: bool = False
    skip_load: bool = False
    loglevel: str = "INFO"
    timeout_keep_alive: int = 30
    """Seconds."""
    tls_keyfile: Path | None = None
    tls_certfile: Path | None = None
    cors_allow_origins: tuple[str, ...] = ()
    cors_allow_origins_regex: str = ""
    no_hashing: bool = False
    disable_all_extensions: bool = False
    allow_remote_extensions: bool = False
    """Whoever is logged in may install extensions, from other machines too."""

    @property
    def turns(self) -> Literal["", "parts", "large in parts", "layers"]:
        """How networks take turns on a graphics card although they might fit; "" where memory decides."""
        if self.lowvram:
            return "layers"
        return "parts" if self.medvram else "large in parts" if self.medvram_sdxl else ""

    @property
    def address(self) -> str:
        """What the server binds to."""
        return self.host or ("0.0.0.0" if self.listen else "127.0.0.1")

    @property
    def is_reachable(self) -> bool:
        """Others than this machine can reach the page, so a login is demanded."""
        if self.share or self.listen:
            return True
        try:
            return not ipaddress.ip_address(self.address.strip("[]")).is_loopback
        except ValueError:
            return self.address.lower() != "localhost"


# ---------------------------------------------------------------- the table


PAGE = (
    Flag(("--port",), "port of the page (7860)", whole(1, 65535), "N"),
    Flag(("--listen",), "let other machines in; demands a login"),
    Flag(("--host", "--server-name"), "address to bind to, instead of 127.0.0.1", name, "ADDRESS"),
    Flag(("--share",), "a public link through Gradio's tunnel; demands a login"),
    Flag(
        ("--auth", "--gradio-auth", "--api-auth"),
        "login for page and API; several with commas between",
        logins,
        "USER:PASSWORD",
        adds=True,
    ),
    Flag(("--auth-file", "--gradio-auth-path"), "the same from a file, a line each", login_file, "FILE", into="auth", adds=True),
    Flag(("--allow-remote-extensions",), "let other machines install extensions, which run with your rights; demands a login"),
    Flag(("--no-login",), "no login although others can reach the page; settings and files are read-only then"),
    Flag(("--autolaunch",), "open the browser"),
    Flag(("--theme",), "dark or light, instead of what the browser wishes", one_of("dark", "light"), "NAME"),
    Flag(("--subpath",), "path at which a proxy shows the page", subpath, "PATH"),
    Flag(("--nowebui",), "only the API, without the page"),
    Flag(("--timeout-keep-alive",), "seconds that an idle connection stays open (30)", whole(0, 86_400), "N"),
    Flag(("--tls-keyfile",), "key for https", file, "FILE"),
    Flag(("--tls-certfile",), "certificate for https", file, "FILE"),
    Flag(("--cors-allow-origins",), "web pages of these origins may use the API", origins, "ORIGINS", adds=True),
    Flag(("--cors-allow-origins-regex",), "the same as a regular expression", pattern, "REGEX"),
)
PLACES = (
    Flag(("--data-dir",), "where models, outputs, extensions, styles and settings are kept", path, "DIR"),
    Flag(
        ("--models-dir", "--forge-ref-a1111-home", "--forge-ref-comfy-home"),
        "one more folder laid out like models/, or the folder of A1111, Forge or ComfyUI that has one",
        path,
        "DIR",
        into="models_dirs",
        adds=True,
    ),
    Flag(("--ckpt-dir",), "one more folder of checkpoints", path, "DIR", folder="Stable-diffusion"),
    Flag(("--vae-dir",), "... of autoencoders", path, "DIR", folder="VAE"),
    Flag(("--lora-dir",), "... of LoRAs", path, "DIR", folder="Lora"),
    Flag(("--embeddings-dir",), "... of embeddings", path, "DIR", folder="embeddings"),
    Flag(("--hypernetwork-dir",), "... of hypernetworks", path, "DIR", folder="hypernetworks"),
    Flag(("--esrgan-models-path",), "... of upscalers", path, "DIR", folder="ESRGAN"),
    Flag(("--realesrgan-models-path",), "... of upscalers", path, "DIR", folder="RealESRGAN"),
    Flag(("--dat-models-path",), "... of upscalers", path, "DIR", folder="DAT"),
    Flag(("--controlnet-dir",), "... of control networks", path, "DIR", folder="ControlNet"),
)
MACHINE = (
    Flag(("--checkpoint", "--ckpt"), "checkpoint to start with: name, title, file or hash", name, "NAME"),
    Flag(("--skip-load", "--skip-load-model-at-start"), "load the checkpoint with the first job, not at the start"),
    Flag(("--cpu", "--always-cpu"), "use the processor even where there is a graphics card"),
    Flag(("--device-id",), "number of the graphics card", whole(0, 255), "N"),
    Flag(("--medvram", "--always-offload-from-vram"), "keep only the part of a checkpoint on the card that computes"),
    Flag(("--medvram-sdxl",), "the same for large families alone"),
    Flag(("--lowvram", "--always-low-vram", "--always-no-vram"), "keep only the layer of the network on the card that computes"),
    Flag(("--no-hashing",), "hash a checkpoint when it is used, not behind everything else"),
    Flag(("--disable-all-extensions",), "start without extensions"),
    Flag(("--loglevel",), "DEBUG, INFO, WARNING or ERROR", one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), "LEVEL"),
)
JSON = Flag(("--json",), "write the numbers as data too", path, "FILE")


@dataclass(frozen=True)
class Command:
    about: str
    positional: str = ""
    """What follows the command's name; into options, but a prompt into the request."""
    is_needed: bool = False
    then: str = ""
    """A second word that may follow."""
    request: tuple[Flag, ...] = ()
    options: tuple[Flag, ...] = ()


EXAMPLES = {"name": "pocket", "folder": "cases", "picture": "photo.png --scale 2"}
COMMANDS: Mapping[str, Command] = {
    "generate": Command(
        "draw a picture without the page", "prompt", request=REQUEST,
        options=(Flag(("--output", "-o"), "file to write, for a folder a folder; without it the outputs folder", path, "PATH"),),
    ),
    "upscale": Command(
        "enlarge a picture, or all of a folder", "picture", is_needed=True, request=ENLARGING,
        options=(Flag(("--output", "-o"), "file to write, for a folder a folder; without it the outputs folder", path, "PATH"),),
    ),
    "train": Command(
        "train a checkpoint on a world that is drawn on the way", "name", is_needed=True,
        options=(
            Flag(("--stage",), "train only this stage; a finished one goes on", name, "NAME"),
            Flag(("--minutes",), "how long in all, or for the one stage", number, "X"),
            Flag(("--samples",), "how many samples each stage sees, instead", whole(1, 10**12), "N"),
            Flag(("--init",), "checkpoint in diffusers layout to go on from", path, "DIR"),
            Flag(("--base",), "checkpoint that inpainting, depth and turbo begin from, instead of the pocket", path, "DIR"),
            Flag(("--without",), "turbo: leave out adversarial, distillation, text or naming, to compare", listed, "PARTS"),
            Flag(("--features",), "turbo: what its adversary stands on, teacher or judge", one_of("teacher", "judge"), "NAME"),
            Flag(("--sprites",), "folder of the toys' sprites; without it only shapes are drawn", path, "DIR"),
            Flag(("--output", "-o"), "folder for the finished checkpoint", path, "DIR"),
            Flag(("--state",), "folder for what the training keeps", path, "DIR"),
            Flag(("--scenes",), "pictures to draw and learn from", whole(1, 10**9), "N"),
            Flag(("--batch",), "samples of a step", whole(1, 1_000_000), "N"),
            Flag(("--threads",), "threads of the processor", whole(1, 1024), "N"),
            Flag(("--device",), "cpu, cuda, mps; auto chooses", name, "NAME"),
        ),
    ),
    "evaluate": Command(
        "measure what a checkpoint can draw; all measures those that come with the program", "name", is_needed=True,
        options=(
            Flag(("--sheet",), "contact sheet to write", path, "FILE"),
            Flag(("--pictures",), "pictures of a side", whole(1, 100_000), "N"),
        ),
    ),
    "bench": Command("measure the program's own speed", "name", options=(JSON, Flag(("--full",), "take longer, measure more"))),
    "verify": Command("compare what is computed with the releases' own numbers", "folder", is_needed=True),
    "list": Command("list what there is", "name", options=(JSON,)),
    "extensions": Command(
        "list extensions (list), make one (new NAME), look one over (check PATH); install SOURCE, update NAME, rollback NAME, "
        "remove NAME; say which are installed (lock)",
        "action", then="name",
        options=(
            JSON,
            Flag(("--yes", "-y"), "install without asking, after showing what it asks for"),
            Flag(("--lock",), "install: the very set that this file names, an extensions.lock", path, "FILE"),
            Flag(("--from",), "update: take the new version from there, and from then on", name, "SOURCE", into="source"),
        ),
    ),
    "fetch": Command("fetch a file that is not bundled; without a name, show which there are", "name"),
}  # fmt: skip


# ---------------------------------------------------------------- reading


Added = Callable[[Path | None], Mapping[str, str]]
"""the folder of --data-dir -> commands of the extensions there, as far as they are known without loading any, and what for"""


def parse(argv: list[str], added: Added = lambda _: {}) -> Flags:
    """Read the command line (without the program's name).

    A first word that is none of COMMANDS may be a command of an extension. All words behind it are its own, so the program's
    flags stand before it.

    Args:
        added: for the help.

    Ends the program (SystemExit): with 0 after --help or --version, with 2 and one sentence on stderr when a value
    is wrong.
    """
    return _Reader(argv, added).read()


class _Reader:
    """Walks over the words once. Words of the command may stand before and behind the flags."""

    def __init__(self, argv: list[str], added: Added) -> None:
        self.added = added
        self.rest = list(argv)
        self.command = ""
        self.values: dict[str, Any] = {}
        self.folders: dict[str, tuple[Path, ...]] = {}
        self.request: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.flags = {alias: (flag, self.values) for flag in (*PAGE, *PLACES, *MACHINE) for alias in flag.names}

    def read(self) -> Flags:
        only_words = False
        while self.rest:
            word = self.rest.pop(0)
            if only_words or not word.startswith("-") or word == "-":
                self._word(word)
            elif word == "--":
                only_words = True
            elif word in ("--help", "-h"):
                command = self.command or next((word for word in self.rest if word in COMMANDS), "")
                sys.stdout.write(help_text(command, self.added(self.values.get("data_dir"))))
                raise SystemExit(0)
            elif word == "--version":
                print(f"Latent WebUI {__version__}")
                raise SystemExit(0)
            else:
                self._flag(word)
        return self._checked()

    def _checked(self) -> Flags:
        command = COMMANDS.get(self.command)
        if command and command.is_needed and command.positional not in self.options:
            example = f"webui {self.command} {EXAMPLES[command.positional]}"
            stop(f"webui {self.command} needs a {command.positional}, as in: {example}.")
        if self.values.get("no_login") and self.values.get("auth"):
            stop("--no-login and --auth contradict each other: leave one of them out.")
        if ("tls_keyfile" in self.values) != ("tls_certfile" in self.values):
            stop("https needs both --tls-keyfile and --tls-certfile.")
        return Flags(command=self.command, request=self.request, options=self.options, folders=self.folders, **self.values)

    def _word(self, word: str) -> None:
        command = COMMANDS.get(self.command)
        if command is None:
            self.command = word
            if word not in COMMANDS:
                self.options["words"], self.rest = tuple(self.rest), []
                return
            for flags, into in ((COMMANDS[word].request, self.request), (COMMANDS[word].options, self.options)):
                self.flags.update({alias: (flag, into) for flag in flags for alias in flag.names})
            return
        into = self.request if command.positional == "prompt" else self.options
        place = command.positional if command.positional not in into else command.then
        if not place or place in into:
            stop(f"{word!r} is one word too many for webui {self.command}: put quotation marks around a text with blanks.")
        into[place] = word

    def _flag(self, word: str) -> None:
        alias, equals, attached = word.partition("=")
        value = attached if equals else None
        if alias == "--use-cpu":
            self._use_cpu(value)
        elif alias in self.flags:
            flag, into = self.flags[alias]
            self._set(flag, into, alias, self._value(flag, alias, value) if flag.kind else value)
        elif alias in ACCEPTED:
            reason, has_value = ACCEPTED[alias]
            if has_value and value is None:
                self._skip_value()
            if reason:
                say(f"{alias} is not needed here: {reason}.")
        else:
            near = difflib.get_close_matches(alias, self.flags, n=1, cutoff=0.8)
            say(f"unknown flag {alias}: ignored{f' (did you mean {near[0]}?)' if near else ''}.")
            command = COMMANDS.get(self.command)
            last = (command.then or command.positional) if command else ""
            if value is None and (command is None or last in (self.request | self.options)):
                self._skip_value()

    def _value(self, flag: Flag, alias: str, value: str | None) -> str:
        if value is not None:
            return value
        if not self.rest or self.rest[0].startswith("--"):
            stop(f"{alias} needs a value: {alias} {flag.value}.")
        return self.rest.pop(0)

    def _skip_value(self) -> None:
        """Leave out the words behind a flag that are its values."""
        while self.rest and not self.rest[0].startswith("-") and self.rest[0] not in COMMANDS:
            self.rest.pop(0)

    def _set(self, flag: Flag, into: dict[str, Any], alias: str, text: str | None) -> None:
        if flag.kind is None:
            if text is not None and text.lower() not in ("true", "1", "false", "0"):
                stop(f"{alias} takes no value, but {text!r} was given.")
            into[flag.target] = text is None or text.lower() in ("true", "1")
            return
        try:
            value = flag.kind(text or "")
        except Wrong as wrong:
            shown = "" if flag.target == "auth" and flag.kind is logins else f" {text}"  # no password in a terminal's log
            stop(f"{alias}{shown} is not right: {wrong}.")
        if flag.folder:
            self.folders[flag.folder] = (*self.folders.get(flag.folder, ()), value)
        elif flag.splits:
            into.update(zip(flag.splits, value, strict=True))
        elif flag.adds:
            into[flag.target] = (*into.get(flag.target, ()), *(value if isinstance(value, tuple) else (value,)))
        else:
            into[flag.target] = value

    def _use_cpu(self, value: str | None) -> None:
        """The convention names modules; only all of them together have a meaning here."""
        modules = [value] if value is not None else []
        while value is None and self.rest and not self.rest[0].startswith("-") and self.rest[0] not in COMMANDS:
            modules.append(self.rest.pop(0))
        if not modules or "all" in [module.casefold() for module in modules]:
            self.values["cpu"] = True
        else:
            say(f"--use-cpu {' '.join(modules)} is not needed here: {MEMORY} (--cpu uses the processor for everything).")


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def stop(sentence: str) -> NoReturn:
    say(sentence)
    raise SystemExit(2)


# ---------------------------------------------------------------- help


def help_text(command: str = "", added: Mapping[str, str] | None = None) -> str:
    """The help of the program or of one of its commands, made from the table.

    Args:
        added: commands of extensions, and what they are for.
    """
    if command:
        row = COMMANDS[command]
        word = row.positional.upper()
        place = f" {word}" if row.is_needed or word == "PROMPT" else f" [{word}]" if word else ""
        place += f" [{row.then.upper()}]" if row.then else ""
        head = [f"webui {command}{place} [flags]: {row.about}", ""]
        return "\n".join([*head, *_lines((*row.request, *row.options)), "", "The flags of webui --help are understood too.", ""])
    lines = ["webui [flags]: start the page", ""]
    lines += [f"webui {name}: {row.about} (webui {name} --help)" for name, row in COMMANDS.items()]
    lines += [f"webui {name}: {about or 'a command'} (of an extension)" for name, about in (added or {}).items()]
    for title, flags in (("The page", PAGE), ("Folders", PLACES), ("The machine", MACHINE)):
        lines += ["", title, *_lines(flags)]
    other = textwrap.fill(", ".join(sorted(ACCEPTED)), 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join([*lines, "", "Accepted and not needed here", other, ""])


def _lines(flags: tuple[Flag, ...]) -> Iterator[str]:
    for flag in flags:
        left = f"  {flag.names[0]}{f' {flag.value}' if flag.value else ''}"
        also = f" (also {', '.join(flag.names[1:])})" if flag.names[1:] else ""
        yield f"{left:<34} {flag.about}{also}"

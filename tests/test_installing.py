"""Installing extensions: from real repositories, zips, folders and wheels; looked at before they run, taken back, made again."""

from __future__ import annotations

import functools
import http.server
import json
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.shared import ROOT
from tests.test_plugins import MY_EULER
from webui.contract.errors import InstallError, UnknownNameError
from webui.main import find_parts
from webui.plugins import fetching, lock, packages, unpacking
from webui.plugins.installing import Installer, Places, Staged, asks
from webui.plugins.lock import Row
from webui.plugins.packages import Pip
from webui.plugins.requirements import constraints, needs_of, pinned
from webui.plugins.sources import Source, read_source, source_of
from webui.workspace.paths import Paths

TELLTALE = "import pathlib\n(pathlib.Path(__file__).parent / 'has-run').touch()\n"
"""Leaves a mark where it runs; and if it ran here, in a folder that a test looks at."""


def manifest(name: str, version: str = "1.0", **more: object) -> str:
    values = {"name": name, "version": version, "contract": "1", **more}
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def files_of(name: str = "my-sampler", version: str = "1.0", code: str = TELLTALE, **more: object) -> dict[str, str]:
    return {"extension.toml": manifest(name, version, **more), "extension.py": code}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def zipped(path: Path, files: dict[str, str], top: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in files.items():
            opened.writestr(f"{top}{name}", text)
    return path


def git(folder: Path, *words: str) -> str:
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], env={**os.environ, **own}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def committed(folder: Path, files: dict[str, str], tag: str = "") -> str:
    """A commit of these files in a repository, made where there is none yet; its name."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    write(folder, files)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    if tag:
        git(folder, "tag", tag)
    return git(folder, "rev-parse", "HEAD")


class Home:
    """A data folder in which extensions are installed."""

    def __init__(self, data: Path, pip: Pip | None = None) -> None:
        self.data = data
        self.extensions = data / "extensions"
        self.places = Places(
            (data / "project" / "extensions", self.extensions), data / "state" / "extension-versions",
            data / "extensions.lock", ROOT / "constraints.txt",
        )  # fmt: skip
        self.installer = Installer(self.places, ("engine", "checkpoints"), pip)

    def stage(self, text: str | Path) -> Staged:
        return self.installer.stage(read_source(str(text)))

    def install(self, text: str | Path) -> Row:
        return self.installer.install(self.stage(text))

    def update(self, name: str, text: str | Path = "") -> Row:
        return self.installer.install(self.installer.stage_update(name, read_source(str(text)) if text else None))

    def code(self, name: str = "my-sampler") -> str:
        return (self.extensions / name / "extension.py").read_text()

    @property
    def names(self) -> list[str]:
        """All that is in the folder of extensions, hidden or not."""
        return sorted(path.name for path in self.extensions.iterdir()) if self.extensions.exists() else []

    def picture(self) -> dict[str, bytes]:
        """All files of the data folder."""
        return {str(path.relative_to(self.data)): path.read_bytes() for path in self.data.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data")


# ---------------------------------------------------------------- where from


@pytest.mark.parametrize(
    ("text", "kind", "place", "ref"),
    [
        ("https://example.org/a/my-sampler.git", "git", "https://example.org/a/my-sampler.git", ""),
        ("git+https://example.org/a/b", "git", "https://example.org/a/b", ""),
        ("https://example.org/a/b#v1.2/x", "git", "https://example.org/a/b", "v1.2/x"),
        ("ssh://git@example.org:22/a/b", "git", "ssh://git@example.org:22/a/b", ""),
        ("git@example.org:a/b.git#main", "git", "git@example.org:a/b.git", "main"),
        ("https://example.org/a/archive/main.zip", "zip", "https://example.org/a/archive/main.zip", ""),
        ("http://127.0.0.1:8000/a.zip", "zip", "http://127.0.0.1:8000/a.zip", ""),
        ("http://[::1]/a", "git", "http://[::1]/a", ""),
        ("my-sampler", "package", "my-sampler", ""),
        (" my_sampler >= 1.2 ", "package", "my_sampler>=1.2", ""),
    ],
)
def test_a_source_is_read_as_it_is_typed(text: str, kind: str, place: str, ref: str) -> None:
    source = read_source(text)
    assert (source.kind, source.place, source.ref) == (kind, place, ref)
    assert source_of(kind, str(source)) == source, "a lock file names the same"


REFUSED = {
    "": "There is no source",
    "-u": "looks like an option",
    "--upload-pack=touch x": "looks like an option",
    "ext::sh -c touch% x": "names a program for git to run",
    "fd::17": "names a program for git to run",
    "git+ext::sh -c id": "names a program for git to run",
    "ssh://-oProxyCommand=id/x": "names no host",
    "ssh://%2doProxyCommand=id/x": "names no host",
    "ssh://git@-oProxyCommand=id/x": "names no host",
    "ssh://-l@example.org/x": "names no user",
    "git@-oProxyCommand=id:x": "",
    "git@example.org:-x": "",
    "http://example.org/x.zip": "without encryption",
    "http://example.org/x": "without encryption",
    "git://example.org/x": "Nothing is fetched over git",
    "ftp://example.org/x.zip": "Nothing is fetched over ftp",
    "javascript://x": "Nothing is fetched over javascript",
    "https://user:secret@example.org/x": "has a password in it",
    "https://token@example.org/x": "has a name or a password in it",
    "ssh://git:secret@example.org/x": "has a password in it",
    "https://example.org/x#--upload-pack=id": "is no name of a branch",
    "https://example.org/x#a..b": "is no name of a branch",
    "https://": "names no host",
    "https://[::1/x": "is no address",
    "https://example.org:99999999/x": "is no address",
    "file://elsewhere/x": "of another machine",
    "file:///nowhere/at/all": "There is no folder or zip",
    "/nowhere/at/all": "There is no folder or zip",
    "./x": "begins nowhere",
    "../../etc": "begins nowhere",
    "my sampler": "is nothing that an extension comes from",
    "x @ https://example.org/x.whl": "",
    "x; python_version > '3'": "more than the name of a package",
    "a\nb": "letters that cannot be seen",
    "a\0b": "letters that cannot be seen",
    "x" * 3000: "too long",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_source_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InstallError) as refused:
        read_source(text)
    assert REFUSED[text] in str(refused.value) and "\n" not in str(refused.value) and len(str(refused.value)) < 400
    for kind in ("git", "package"):
        if not text.startswith(("git+", "my sampler")) and "secret" not in text:
            continue
        with pytest.raises(InstallError):
            source_of(kind, text)


def test_no_password_is_repeated() -> None:
    for text in ("https://user:hunter2@example.org/x", "ssh://git:hunter2@example.org/x"):
        with pytest.raises(InstallError) as refused:
            read_source(text)
        assert "hunter2" not in str(refused.value)


def test_paths_are_folders_zips_or_bare_repositories(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", files_of())
    archive = zipped(tmp_path / "two.zip", files_of())
    git(tmp_path, "init", "--quiet", "--bare", "three.git")
    assert read_source(str(folder)) == Source("folder", str(folder))
    assert read_source("one", tmp_path) == Source("folder", str(folder)) and read_source("one").kind == "package"
    assert read_source(str(archive)) == read_source(archive.as_uri()) == Source("zip", str(archive))
    assert read_source(str(tmp_path / "three.git")) == Source("git", (tmp_path / "three.git").as_uri())
    assert read_source(f"{folder.as_uri()}#main") == Source("git", folder.as_uri(), "main")


# ---------------------------------------------------------------- in, and what it asks for


def made_as(kind: str, tmp_path: Path, version: str = "1.0", **more: object) -> str:
    """A source of each kind, which has that version now."""
    files = files_of(version=version, code=f"# {version}\n{TELLTALE}", **more)
    if kind == "git":
        committed(tmp_path / "repository", files)
        return (tmp_path / "repository").as_uri()
    if kind == "zip":
        return str(zipped(tmp_path / "my.zip", files, "my-sampler-main/"))
    shutil.rmtree(tmp_path / "source", ignore_errors=True)
    return str(write(tmp_path / "source", files))


@pytest.mark.parametrize("kind", ["git", "zip", "folder"])
def test_it_is_shown_before_anything_of_it_runs_and_then_put_in_its_place(kind: str, home: Home, tmp_path: Path) -> None:
    told: list[str] = []
    asked = {"description": "Half a step", "permissions": ["network"], "requirements": ["numpy>=1", "not-there-at-all>1"]}
    source = read_source(made_as(kind, tmp_path, **asked))
    staged = home.installer.stage(source, told.append)
    shown = asks(staged)
    assert (shown["name"], shown["version"], shown["description"]) == ("my-sampler", "1.0", "Half a step")
    assert (shown["permissions"], shown["there"], shown["missing"]) == (["network"], ["numpy>=1"], ["not-there-at-all>1"])
    assert not (home.extensions / "my-sampler").exists() and told
    home.installer.install(replace(staged, needs=replace(staged.needs, missing=())))
    assert home.names == ["my-sampler"] and home.code().startswith("# 1.0\n")
    assert not list(tmp_path.rglob("has-run"))
    (row,) = json.loads((home.data / "extensions.lock").read_text())["extensions"]
    assert (row["name"], row["version"], row["kind"], row["source"]) == ("my-sampler", "1.0", kind, str(source))
    assert re.fullmatch("[0-9a-f]{64}", row["files"])
    if kind == "git":
        assert row["commit"] == git(tmp_path / "repository", "rev-parse", "HEAD")
    if kind == "zip":
        assert row["sha256"] == unpacking.file_digest(tmp_path / "my.zip")


def test_it_is_found_at_the_next_start(home: Home, tmp_path: Path) -> None:
    home.install(write(tmp_path / "source", files_of(code=MY_EULER)))
    parts, extensions = find_parts(Paths(home.data, project=home.data))
    assert [(one.name, one.error) for one in extensions] == [("my-sampler", "")] and "My Euler" in parts.samplers


def test_a_discarded_one_leaves_nothing(home: Home, tmp_path: Path) -> None:
    staged = home.stage(made_as("zip", tmp_path))
    assert len(home.names) == 1 and home.names[0].startswith(".")
    home.installer.discard(staged)
    assert home.names == [] and not (home.data / "extensions.lock").exists()


def test_a_branch_a_tag_and_a_subfolder_of_history_can_be_named(home: Home, tmp_path: Path) -> None:
    first = committed(tmp_path / "r", files_of(code="# old"), tag="v1")
    committed(tmp_path / "r", files_of(version="2.0", code="# new"))
    address = (tmp_path / "r").as_uri()
    assert home.install(f"{address}#v1").commit == first and home.code() == "# old"
    assert home.update("my-sampler", f"{address}#main").version == "2.0" and home.code() == "# new"
    home.installer.remove("my-sampler")
    assert home.install(f"{address}#{first}").commit == first


def test_git_brings_neither_its_history_nor_its_hooks(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_as("git", tmp_path)
    hooks = write(tmp_path / "hooks", {"post-checkout": f"#!/bin/sh\ntouch {tmp_path}/hook-has-run\n"})
    (hooks / "post-checkout").chmod(0o755)
    config = write(tmp_path, {"config": f"[core]\n hooksPath = {hooks}\n[init]\n templateDir = {tmp_path}\n"}) / "config"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    home.install((tmp_path / "repository").as_uri())
    assert not (tmp_path / "hook-has-run").exists() and not (tmp_path / "elsewhere").exists()
    assert sorted(path.name for path in (home.extensions / "my-sampler").iterdir()) == ["extension.py", "extension.toml"]


def test_what_git_says_is_told_in_one_sentence(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InstallError, match=r"git cannot fetch .*#nothing: couldn't find remote ref nothing"):
        home.stage(made_as("git", tmp_path) + "#nothing")
    (tmp_path / "plain").mkdir()
    with pytest.raises(InstallError, match=r"git cannot fetch file:.*plain"):
        home.stage((tmp_path / "plain").as_uri())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError, match="git is not there"):
        home.stage((tmp_path / "repository").as_uri())
    assert home.names == []


def test_nothing_of_the_folder_in_which_it_was_typed_runs(
    packaged: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    wheel(tmp_path / "wheels")
    monkeypatch.chdir(write(tmp_path / "here", {"pip.py": f"open({str(tmp_path / 'has-run')!r}, 'w')\n"}))
    packaged.installer.discard(packaged.stage("webui-my-sampler"))
    assert not (tmp_path / "has-run").exists()


# ---------------------------------------------------------------- what is refused


def entry(name: str, mode: int = 0, text: str = "x", how: int = zipfile.ZIP_STORED) -> tuple[zipfile.ZipInfo, str]:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = how
    return info, text


def evil(path: Path, *entries: tuple[zipfile.ZipInfo, str]) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, text in files_of().items():
            opened.writestr(name, text)
        for info, text in entries:
            opened.writestr(info, text)
    return path


EVIL: dict[str, tuple[zipfile.ZipInfo, str]] = {
    "leads out of its folder": entry("../../outside.txt"),
    "a path that leads": entry("a/../../outside.txt"),
    "path that leads out": entry("/outside.txt"),
    "that leads out of its": entry("a//outside.txt"),
    "no plain path": entry("..\\..\\outside.txt"),
    "a name that is no plain path": entry("C:outside.txt"),
    "that is no plain path": entry("a\nb"),
    "a link or a device": entry("link", stat.S_IFLNK | 0o777, "/etc/passwd"),
    "in the place of a file": entry("pipe", stat.S_IFIFO | 0o666),
    "Windows cannot have": entry("folder/CON.txt"),
    "name that Windows cannot": entry("trailing."),
    "twice": entry("EXTENSION.py"),
    "packed in another way": entry("data", how=zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("says", EVIL)
def test_a_zip_that_would_write_elsewhere_is_refused_whole(says: str, home: Home, tmp_path: Path) -> None:
    archive = evil(tmp_path / "evil.zip", EVIL[says])
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InstallError, match=says):
        home.stage(archive)
    assert home.names == [] and {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_bomb_is_refused_before_it_is_unpacked(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("extension.toml", manifest("bomb"))
        with opened.open("zeros", "w") as file:
            for _ in range(33):
                file.write(bytes(2**25))
    assert bomb.stat().st_size < 2**21
    with pytest.raises(InstallError, match="would take more than 1024 MB"):
        home.stage(bomb)
    many = tmp_path / "many.zip"
    with zipfile.ZipFile(many, "w") as opened:
        for number in range(unpacking.FILES_AT_MOST + 1):
            opened.writestr(f"{number}", "")
    with pytest.raises(InstallError, match="holds more than 10,000 files"):
        home.stage(many)
    monkeypatch.setattr(unpacking, "DIRECTORY_AT_MOST", 10_000)
    with pytest.raises(InstallError, match="holds more than"):  # told by the end of the file, before the list is read
        home.stage(many)
    assert home.names == []


def test_a_zip_whose_list_lies_about_sizes_is_refused(home: Home, tmp_path: Path) -> None:
    archive = evil(tmp_path / "lies.zip", entry("data", text="x" * 5000))
    raw = archive.read_bytes()
    archive.write_bytes(raw.replace((5000).to_bytes(4, "little"), (5).to_bytes(4, "little")))
    with pytest.raises(InstallError):
        home.stage(archive)
    assert home.names == []


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip" * 100, b"PK\x05\x06" + bytes(10)])
def test_what_is_no_zip_is_refused(home: Home, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(InstallError, match="no zip"):
        home.stage(tmp_path / "x.zip")
    whole = zipped(tmp_path / "y.zip", files_of()).read_bytes()
    (tmp_path / "y.zip").write_bytes(whole[:40] + b"\0" * 30 + whole[70:])
    with pytest.raises(InstallError):
        home.stage(tmp_path / "y.zip")
    assert home.names == []


def test_a_damaged_zip_or_wheel_is_unpacked_or_refused_and_nothing_else(tmp_path: Path) -> None:
    dice = random.Random(16)
    good = zipped(tmp_path / "good.zip", {name: text * 20 for name, text in files_of().items()}).read_bytes()
    good_wheel = wheel(tmp_path / "wheels").read_bytes()
    refused = 0
    for number in range(300):
        bad, bad_wheel = bytearray(good), bytearray(good_wheel)
        for whole in (bad, bad_wheel):
            for _ in range(dice.choice((1, 2, 4))):
                whole[dice.randrange(len(whole))] = dice.randrange(256)
        (tmp_path / "bad.zip").write_bytes(bad[: dice.randrange(len(bad)) if number % 10 == 0 else None])
        (tmp_path / "bad.whl").write_bytes(bad_wheel)
        for read in (
            lambda number=number: unpacking.unpack(tmp_path / "bad.zip", tmp_path / str(number), lambda: False),
            lambda: packages.take_manifest(packages.read_wheel(tmp_path / "bad.whl"), tmp_path / "manifest"),
        ):
            try:
                read()
            except InstallError:
                refused += 1
    assert refused > 100


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
@pytest.mark.parametrize("kind", ["git", "folder"])
def test_links_in_a_repository_or_a_folder_are_refused(kind: str, home: Home, tmp_path: Path) -> None:
    folder = write(tmp_path / "source", files_of())
    (folder / "keys").symlink_to("/etc")
    if kind == "git":
        committed(folder, {})
    with pytest.raises(InstallError, match=r"has '?keys'?, which is a link"):
        home.stage(folder.as_uri() if kind == "git" else folder)
    assert home.names == []


def test_a_repository_that_would_grow_without_end_is_refused_before_it_is_written(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    committed(folder, files_of())

    def made(*words: str, text: str = "") -> str:
        done = subprocess.run(["git", "-C", str(folder), *words], input=text, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit_of(tree: str, branch: str) -> None:
        who = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        words = ["git", "-C", str(folder), "commit-tree", "-m", "x", tree]
        commit = subprocess.run(words, env={**os.environ, **who}, capture_output=True, text=True, check=True).stdout.strip()
        made("update-ref", f"refs/heads/{branch}", commit)

    tree = made(
        "mktree", text="".join(f"100644 blob {made('hash-object', '-w', '--stdin', text='x')}\tf{n}\n" for n in range(10))
    )
    for _ in range(7):  # 10 ** 8 files out of a few hundred bytes
        tree = made("mktree", text="".join(f"040000 tree {tree}\td{n}\n" for n in range(10)))
    commit_of(tree, "many")
    zeros = tmp_path / "zeros"
    with zeros.open("wb") as file:
        file.truncate(2**26)
    blob = made("hash-object", "-w", str(zeros))
    commit_of(made("mktree", text="".join(f"100644 blob {blob}\tf{n}\n" for n in range(17))), "large")
    commit_of(made("mktree", text=f"160000 commit {made('rev-parse', 'HEAD')}\tother\n"), "parts")
    for branch, says in {"many": "more than 10,000 files", "large": "more than 1024 MB", "parts": "a part in another"}.items():
        with pytest.raises(InstallError, match=says):
            home.stage(f"{folder.as_uri()}#{branch}")
    assert home.names == []


MANIFESTS = {
    "has no extension.toml": {"extension.py": ""},
    "has no extension.py": {"extension.toml": manifest("x")},
    "x needs contract 0, this program has contract 1, so it was not installed": {**files_of("x", contract="0")},
    "It was not installed. source/extension.toml cannot be read": {"extension.toml": "name =", "extension.py": ""},
    "It was not installed. source/extension.toml has the name '../x'": files_of("../x"),
    "It was not installed. source/extension.toml needs a line version": {"extension.toml": 'name="x"\ncontract="1"\n'},
    "cannot be the name of a folder": files_of("con"),
    "cannot be the name of a folder everywhere": files_of("x."),
    "Engine is the name of a part of the program itself": files_of("Engine"),
    "would change numpy, which the program needs": files_of("x", requirements=["numpy==1.0"]),
    "is not written as pip names packages": files_of("x", requirements=["--index-url=https://example.org"]),
}


@pytest.mark.parametrize("says", MANIFESTS)
def test_what_cannot_be_an_extension_here_is_refused_with_the_reason(says: str, home: Home, tmp_path: Path) -> None:
    with pytest.raises(InstallError) as refused:
        home.stage(write(tmp_path / "source", MANIFESTS[says]))
    assert says in str(refused.value), refused.value
    assert home.names == [] and not (home.data / "extensions.lock").exists()


def test_a_name_that_is_taken_is_refused_naming_both(home: Home, tmp_path: Path) -> None:
    source = write(tmp_path / "new", files_of("My-Sampler", "2.0"))
    write(home.extensions / "elsewhere", files_of("my-sampler", "1.0"))
    with pytest.raises(InstallError) as refused:
        home.stage(source)
    assert "An extension called my-sampler 1.0 is there already, in extensions/elsewhere of the data folder" in str(refused.value)
    assert f"the My-Sampler 2.0 of {source} was not installed" in str(refused.value)
    write(home.data / "project" / "extensions" / "ours", files_of("ours"))
    with pytest.raises(InstallError, match="in extensions/ours of the project folder"):
        home.stage(write(tmp_path / "ours", files_of("ours")))
    (home.extensions / "file").write_text("mine")
    with pytest.raises(InstallError, match="file is there already"):
        home.stage(write(tmp_path / "file", files_of("FILE")))
    assert home.names == ["elsewhere", "file"]


def test_a_name_that_was_taken_meanwhile_is_refused_too(home: Home, tmp_path: Path) -> None:
    staged = home.stage(write(tmp_path / "new", files_of()))
    write(home.extensions / "my-sampler", {"mine": ""})
    with pytest.raises(InstallError, match="is there already"):
        home.installer.install(staged)
    assert home.names == ["my-sampler"] and (home.extensions / "my-sampler" / "mine").exists()
    assert not (home.data / "extensions.lock").exists()


def test_cancelling_leaves_nothing(home: Home, tmp_path: Path) -> None:
    for kind in ("git", "zip", "folder"):
        with pytest.raises(InstallError, match="was cancelled"):
            home.installer.stage(read_source(made_as(kind, tmp_path)), should_stop=lambda: True)
    assert home.names == []


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    sleeps = [
        sys.executable,
        "-c",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])",
    ]
    with pytest.raises(InstallError, match="had not come to an end after 0 seconds"):
        fetching.run(sleeps, lambda: False, os.environ, seconds=0.3)
    with pytest.raises(InstallError, match="cannot be started"):
        fetching.run([str(tmp_path / "nothing")], lambda: False, os.environ)


def test_what_was_left_behind_is_swept_away_when_it_is_old(home: Home, tmp_path: Path) -> None:
    for name, age in {".part-old": 90_000, ".part-new": 60}.items():
        write(home.extensions / name, {"x/y": ""})
        then = (home.extensions / name).stat().st_mtime - age
        os.utime(home.extensions / name, (then, then))
    home.install(write(tmp_path / "new", files_of()))
    assert home.names == [".part-new", "my-sampler"]


# ---------------------------------------------------------------- update, roll back, remove


@pytest.mark.parametrize("kind", ["git", "zip", "folder"])
def test_an_update_can_be_rolled_back_and_settings_stay_through_it_all(kind: str, home: Home, tmp_path: Path) -> None:
    settings = write(home.data / "state" / "extensions" / "my-sampler", {"settings.json": '{"push": 1.2}', "cache": "x"})
    home.install(made_as(kind, tmp_path))
    assert home.installer.stage_update("my-sampler").is_there, "nothing new"
    assert home.names[-1] == "my-sampler"
    source = made_as(kind, tmp_path, "2.0", permissions=["network"])
    staged = home.installer.stage_update("MY-sampler")
    assert not staged.is_there and asks(staged)["replaces"] == "1.0" and asks(staged)["new_permissions"] == ["network"]
    assert home.code().startswith("# 1.0"), "not before the user said yes"
    row = home.installer.install(staged)
    assert (row.version, row.source) == ("2.0", str(read_source(source))) and home.code().startswith("# 2.0")
    before = home.installer.before("my-sampler")
    assert before is not None and before.version == "1.0"
    assert home.installer.rollback("my-sampler").version == "1.0" and home.code().startswith("# 1.0")
    assert lock.read(home.data / "extensions.lock")[0].version == "1.0"
    assert home.installer.rollback("my-sampler").version == "2.0", "and forward again"
    assert home.installer.remove("my-sampler").version == "2.0"
    assert [name for name in home.names if not name.startswith(".")] == [] and lock.read(home.data / "extensions.lock") == ()
    assert home.installer.rollback("my-sampler").version == "2.0" and home.code().startswith("# 2.0"), "a removal is undone"
    assert sorted(path.name for path in settings.iterdir()) == ["cache", "settings.json"]
    assert (settings / "settings.json").read_text() == '{"push": 1.2}'


def test_only_one_version_before_is_kept(home: Home, tmp_path: Path) -> None:
    home.install(made_as("folder", tmp_path))
    for version in ("2.0", "3.0"):
        made_as("folder", tmp_path, version)
        home.update("my-sampler")
    kept = home.places.versions / "my-sampler"
    assert sorted(path.name for path in kept.iterdir()) == ["before", "before.lock"]
    assert home.installer.rollback("my-sampler").version == "2.0"


def test_a_broken_new_version_is_taken_back(home: Home, tmp_path: Path) -> None:
    home.install(write(tmp_path / "source", files_of(code=MY_EULER)))
    write(tmp_path / "source", files_of(version="2.0", code="import not_there"))
    home.update("my-sampler")
    assert "not_there" in find_parts(Paths(home.data, project=home.data))[1][0].error
    home.installer.rollback("my-sampler")
    assert find_parts(Paths(home.data, project=home.data))[1][0].error == ""


def test_what_was_changed_in_its_folder_is_known_and_kept(home: Home, tmp_path: Path) -> None:
    row = home.install(made_as("folder", tmp_path))
    (home.extensions / "my-sampler" / "__pycache__").mkdir()
    (home.extensions / "my-sampler" / "__pycache__" / "extension.pyc").write_text("x")
    assert not home.installer.is_changed(row)
    (home.extensions / "my-sampler" / "extension.py").write_text("# mine")
    assert home.installer.is_changed(row)
    made_as("folder", tmp_path, "2.0")
    home.update("my-sampler")
    home.installer.rollback("my-sampler")
    assert home.code() == "# mine"


def test_an_update_that_has_another_name_is_refused(home: Home, tmp_path: Path) -> None:
    home.install(made_as("folder", tmp_path))
    write(tmp_path / "source", files_of("other", "2.0"))
    with pytest.raises(InstallError, match="is called other, not my-sampler, so my-sampler was not updated"):
        home.installer.stage_update("my-sampler")
    assert home.code().startswith("# 1.0")


@pytest.mark.parametrize("action", ["install", "update", "rollback", "remove"])
@pytest.mark.parametrize("fails_at", ["lock", "rename"])
def test_where_it_fails_on_the_way_all_is_as_before(
    action: str, fails_at: str, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = made_as("folder", tmp_path)
    if action != "install":
        home.install(source)
        made_as("folder", tmp_path, "2.0")
    if action == "rollback":
        home.update("my-sampler")
    before = home.picture()
    renamed, written = os.rename, lock.write
    staged = {"install": lambda: home.stage(source), "update": lambda: home.installer.stage_update("my-sampler")}
    ready = staged[action]() if action in staged else None

    def full(path: Path, rows: object) -> None:
        if path == home.places.lock:
            raise InstallError("The disk is full.")
        written(path, rows)  # type: ignore[arg-type]

    def refuse(place: Path, target: Path) -> None:
        if Path(target).parent == home.extensions or (action == "remove" and Path(target).name == "before"):
            raise PermissionError(13, "Permission denied")
        renamed(place, target)

    with monkeypatch.context() as patch:
        patch.setattr(lock, "write", full) if fails_at == "lock" else patch.setattr(os, "rename", refuse)
        with pytest.raises(InstallError):
            if ready is not None:
                home.installer.install(ready)
            else:
                getattr(home.installer, action)("my-sampler")
    kept = home.picture()
    kept.pop("state/extension-versions/my-sampler/before.lock", None)  # names a version before only where there is one
    before.pop("state/extension-versions/my-sampler/before.lock", None)
    assert kept == before
    assert home.installer.before("my-sampler") is None or action == "rollback"


def test_what_was_put_there_by_hand_is_neither_updated_nor_deleted(home: Home) -> None:
    write(home.extensions / "mine", files_of("mine"))
    for action in (home.installer.stage_update, home.installer.rollback, home.installer.remove):
        with pytest.raises(
            InstallError,
            match=r"was put there by hand \(extensions/mine of the data folder\), so it is neither updated nor deleted",
        ):
            action("mine")
        with pytest.raises(UnknownNameError, match=r"No extension is called 'min'\. Did you mean 'mine'"):
            action("min")
    assert (home.extensions / "mine" / "extension.py").exists()


@pytest.mark.parametrize("name", ["../../x", "..", "", "a/b", "x" * 300, "\0"])
def test_no_name_becomes_a_path(home: Home, tmp_path: Path, name: str) -> None:
    write(tmp_path / "x" / "before", {"extension.py": ""})
    lock.write(tmp_path / "x" / "before.lock", [Row("x", "1", "folder", str(tmp_path), files="0" * 64)])
    for action in (home.installer.stage_update, home.installer.rollback, home.installer.remove):
        with pytest.raises(UnknownNameError):
            action(name)


def test_the_first_version_has_none_before_it(home: Home, tmp_path: Path) -> None:
    home.install(made_as("folder", tmp_path))
    with pytest.raises(InstallError, match=r"There is no version before 1\.0 of my-sampler"):
        home.installer.rollback("my-sampler")


# ---------------------------------------------------------------- requirements

PINS = {"numpy": "2.4.6", "pluggy": "1.7.0"}


def test_requirements_are_sorted_into_there_missing_and_impossible() -> None:
    needs = needs_of(
        ["pluggy>=1", "surely-not-there", 'x; python_version < "3"', "numpy<2", "torch @ https://e.org/t.whl", "!", "Pluggy>1"],
        PINS, {},
    )  # fmt: skip
    assert needs.there == ("pluggy>=1", "Pluggy>1") and needs.missing == ("surely-not-there",)
    assert [re.search(r"'(\S+).*'", one)[1] for one in needs.problems] == ["numpy<2", "torch", "!"]  # type: ignore[index]


def test_what_another_extension_needs_is_not_changed() -> None:
    """iniconfig is a package that this environment has and the program does not name."""
    others = {"first": ["iniconfig>=1,<3"], "second": ["lib-of-both==1.0"], "third": ["iniconfig>=1; python_version < '3'"]}
    needs = needs_of(["iniconfig==9.0", "lib-of-both==2.0", "lib-of-both>=1"], {}, others)
    assert needs.missing == ("lib-of-both>=1",) or needs.missing == ("lib-of-both==2.0", "lib-of-both>=1")
    assert "what the extension first needs" in needs.problems[0]
    assert needs_of(["iniconfig"], {}, others).there == ("iniconfig",)


def test_pip_is_bound_to_what_is_installed_and_what_others_need() -> None:
    lines = constraints(pinned(ROOT / "constraints.txt"), {"first": ["lib>=1,<3", "numpy>=1", "!"]}).splitlines()
    import importlib.metadata

    for name in ("torch", "numpy", "pluggy", "fastapi"):
        assert f"{name}=={importlib.metadata.version(name)}" in lines
    assert "lib<3,>=1" in lines and len([line for line in lines if line.startswith("numpy")]) == 1


# ---------------------------------------------------------------- packages


def wheel(
    folder: Path, version: str = "1.0", requires: tuple[str, ...] = (), files: dict[str, str] | None = None, **more: str
) -> Path:
    """A wheel, as pip takes it."""
    info = f"webui_my_sampler-{version}.dist-info"
    entries = more.get("entries", "[webui.extensions]\nmy-sampler = webui_my_sampler.extension\n")
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    inside = {
        "webui_my_sampler/__init__.py": "",
        **{f"webui_my_sampler/{name}": text for name, text in (files_of(version=version) if files is None else files).items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: webui-my-sampler\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": entries,
    }
    inside[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*inside, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    return zipped(folder / f"webui_my_sampler-{version}-py3-none-any.whl", inside)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with pip and nothing else, so that no test changes the one it runs in."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture
def packaged(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A data folder whose packages come from a folder of wheels and go into that environment."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return Home(tmp_path / "data", Pip(str(environment)))


def installed(environment: Path) -> dict[str, str]:
    asks_it = "import importlib.metadata as m, json; found = m.entry_points(group='webui.extensions'); "
    asks_it += "print(json.dumps({one.name: one.dist.version for one in found}))"
    done = subprocess.run([str(environment), "-c", asks_it], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_package_goes_all_the_way(packaged: Home, environment: Path, tmp_path: Path) -> None:
    first = wheel(tmp_path / "wheels")
    staged = packaged.stage("webui-my-sampler")
    assert (staged.row.kind, staged.row.version, staged.row.package) == ("package", "1.0", "webui-my-sampler")
    assert staged.row.sha256 == unpacking.file_digest(first) and installed(environment) == {}
    packaged.installer.install(staged)
    assert installed(environment) == {"my-sampler": "1.0"} and packaged.names == []
    wheel(tmp_path / "wheels", "2.0")
    assert packaged.update("my-sampler").version == "2.0" and installed(environment) == {"my-sampler": "2.0"}
    assert packaged.installer.stage_update("my-sampler").is_there
    for path in (tmp_path / "wheels").iterdir():
        path.unlink()  # what was installed once is kept: no index is asked
    assert packaged.installer.rollback("my-sampler").version == "1.0" and installed(environment) == {"my-sampler": "1.0"}
    assert packaged.installer.rollback("my-sampler").version == "2.0" and installed(environment) == {"my-sampler": "2.0"}
    packaged.installer.remove("my-sampler")
    assert installed(environment) == {} and packaged.installer.rows() == ()
    assert packaged.installer.rollback("my-sampler").version == "2.0" and installed(environment) == {"my-sampler": "2.0"}
    packaged.installer.remove("my-sampler")


def test_a_package_of_a_lock_file_is_exactly_that_one(packaged: Home, environment: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")
    packaged.install("webui-my-sampler")
    shutil.copy(packaged.data / "extensions.lock", tmp_path / "elsewhere.lock")
    packaged.installer.remove("my-sampler")
    wheel(tmp_path / "wheels", "2.0")
    (staged,) = packaged.installer.stage_lock(tmp_path / "elsewhere.lock")
    assert packaged.installer.install(staged).version == "1.0" and installed(environment) == {"my-sampler": "1.0"}
    packaged.installer.remove("my-sampler")
    wheel(tmp_path / "wheels", files=files_of(code="# another"))
    with pytest.raises(InstallError, match="is not what the lock file means"):
        packaged.installer.stage_lock(tmp_path / "elsewhere.lock")
    assert installed(environment) == {}


def test_packages_that_are_no_extension_or_could_not_be_looked_at_are_refused(
    packaged: Home, environment: Path, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with pytest.raises(InstallError, match="There is no package webui-my-sampler that could be looked at before it runs"):
        packaged.stage("webui-my-sampler")
    shutil.make_archive(
        str(wheels / "webui_my_sampler-1.0"), "gztar", write(tmp_path / "sdist", {"setup.py": "raise SystemExit('ran')"})
    )
    with pytest.raises(InstallError, match="only sources"):
        packaged.stage("webui-my-sampler")
    for says, more in {
        'it has no entry point "webui.extensions"': {"entries": "[console_scripts]\nx = y:z\n"},
        "has 2 extensions": {"entries": "[webui.extensions]\na = webui_my_sampler.a\nb = webui_my_sampler.b\n"},
        "has no extension.toml beside its module": {"files": {}},
        "would change numpy, which the program needs": {"requires": ("numpy<2",)},
        "An extension called my-sampler 9 is there": {},
    }.items():
        if not more:
            write(packaged.extensions / "my-sampler", files_of(version="9"))
        wheel(wheels, **more)  # type: ignore[arg-type]
        with pytest.raises(InstallError, match=says):
            packaged.stage("webui-my-sampler")
    assert installed(environment) == {} and packaged.names == ["my-sampler"]


def library(folder: Path, name: str, version: str, *requires: str) -> None:
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    inside = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    inside[f"{info}/RECORD"] = "".join(f"{one},,\n" for one in [*inside, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    zipped(folder / f"{name}-{version}-py3-none-any.whl", inside)


def test_missing_packages_are_installed_with_it_and_never_one_that_would_change_the_program(
    packaged: Home, environment: Path, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    library(wheels, "lw_small_library", "1.0")
    library(wheels, "lw_greedy_library", "1.0", "numpy==1.0")
    library(wheels, "numpy", "1.0")
    good = write(tmp_path / "good", files_of("good", requirements=["lw_small_library"]))
    bad = write(tmp_path / "bad", files_of("bad", requirements=["lw_greedy_library"]))
    staged = packaged.stage(good)
    assert staged.needs.missing == ("lw_small_library",)
    packaged.installer.install(staged)
    done = subprocess.run(
        [str(environment), "-c", "import lw_small_library as l; print(l.version)"], capture_output=True, text=True
    )
    assert done.stdout == "1.0\n" and packaged.names == ["good"]
    with pytest.raises(InstallError, match="lw_greedy_library cannot be installed without changing what the program"):
        packaged.install(bad)
    assert packaged.names == ["good"] and [row.name for row in packaged.installer.rows()] == ["good"]
    with pytest.raises(InstallError, match="nothing_like_it could not be installed: "):
        packaged.install(write(tmp_path / "none", files_of("none", requirements=["nothing_like_it"])))
    assert packaged.names == ["good"]


# ---------------------------------------------------------------- the lock file


def test_the_same_set_is_made_elsewhere_from_the_lock_file(home: Home, tmp_path: Path) -> None:
    committed(tmp_path / "r", files_of("by-git", code="# locked"))
    home.install((tmp_path / "r").as_uri())
    committed(tmp_path / "r", files_of("by-git", "2.0", code="# newer"))
    home.install(zipped(tmp_path / "z.zip", files_of("by-zip")))
    home.install(write(tmp_path / "f", files_of("by-folder")))
    other = Home(tmp_path / "other")
    staged = other.installer.stage_lock(home.data / "extensions.lock")
    assert [one.row.name for one in staged] == ["by-folder", "by-git", "by-zip"] and not (other.extensions / "by-git").exists()
    for one in staged:
        other.installer.install(one)
    assert other.code("by-git") == "# locked"
    assert (other.data / "extensions.lock").read_bytes() == (home.data / "extensions.lock").read_bytes()
    assert other.installer.stage_lock(home.data / "extensions.lock") == [], "all are there"
    other.update("by-git")
    (back,) = other.installer.stage_lock(home.data / "extensions.lock")
    assert (asks(back)["replaces"], back.row.version) == ("2.0", "1.0")
    other.installer.install(back)
    assert other.code("by-git") == "# locked"


@pytest.mark.parametrize("kind", ["git", "zip", "folder"])
def test_what_is_not_what_the_lock_file_means_is_refused_and_nothing_is_installed(kind: str, home: Home, tmp_path: Path) -> None:
    made_as("folder", tmp_path)
    home.install(write(tmp_path / "a", files_of("a-first")))
    home.install(made_as(kind, tmp_path))
    if kind == "git":
        shutil.rmtree(tmp_path / "repository")
    made_as(kind, tmp_path, "6.6")
    other = Home(tmp_path / "other")
    with pytest.raises(InstallError, match="git cannot fetch" if kind == "git" else "is not what the lock file means"):
        other.installer.stage_lock(home.data / "extensions.lock")
    assert other.names == []


def test_a_commit_that_no_branch_shows_any_more_is_still_found(home: Home, tmp_path: Path) -> None:
    first = committed(tmp_path / "r", files_of(code="# locked"))
    home.install((tmp_path / "r").as_uri())
    committed(tmp_path / "r", files_of(version="2.0"))
    git(tmp_path / "r", "config", "uploadpack.allowAnySHA1InWant", "false")
    other = Home(tmp_path / "other")
    (staged,) = other.installer.stage_lock(home.data / "extensions.lock")
    assert staged.row.commit == first


LOCKS = {
    "it is damaged": "{",
    "is no list of extensions": "[]",
    "has no commit and no checksum": {"name": "x", "version": "1", "kind": "git", "source": "https://example.org/x"},
    "names a program for git": {"name": "x", "version": "1", "kind": "git", "source": "ext::sh -c id", "commit": "0" * 40},
    "has a line that is no extension": {"name": "../x", "version": "1", "kind": "git", "source": "https://example.org/x"},
    "has a line that is": {"name": "x", "version": "1", "kind": "git", "source": "https://e.org/x", "commit": "--upload-pack=id"},
    "a line that is no extension": {"name": "x", "version": "1", "kind": "curl", "source": "https://example.org/x"},
    "line that is no extension": {"name": "x", "version": 1, "kind": "git", "source": "https://example.org/x"},
    "is no absolute path": {"name": "x", "version": "1", "kind": "folder", "source": "x", "files": "0" * 64},
    "looks like an option": {"name": "x", "version": "1", "kind": "package", "source": "--index-url=x", "sha256": "0" * 64},
}


@pytest.mark.parametrize("says", LOCKS)
def test_a_lock_file_is_a_strangers_text(says: str, home: Home, tmp_path: Path) -> None:
    row = LOCKS[says]
    text = row if isinstance(row, str) else json.dumps({"format": 1, "extensions": [row]})
    (tmp_path / "x.lock").write_text(text)
    with pytest.raises(InstallError) as refused:
        home.installer.stage_lock(tmp_path / "x.lock")
    assert says in str(refused.value) or says == "names a program for git", refused.value
    assert home.names == []


def test_a_lock_file_that_is_damaged_stops_every_change_and_is_left_alone(home: Home, tmp_path: Path) -> None:
    home.install(made_as("folder", tmp_path))
    (home.data / "extensions.lock").write_text("{")
    for action in (home.installer.remove, home.installer.rollback, home.installer.stage_update):
        with pytest.raises(InstallError, match="cannot be read: it is damaged"):
            action("my-sampler")
    with pytest.raises(InstallError):
        home.install(write(tmp_path / "other", files_of("other")))
    assert home.names == ["my-sampler"] and (home.data / "extensions.lock").read_text() == "{"


def test_the_lock_file_forgets_what_was_deleted_by_hand_and_says_what_it_cannot_have(home: Home, tmp_path: Path) -> None:
    home.install(made_as("folder", tmp_path))
    home.install(write(tmp_path / "other", files_of("other")))
    write(home.extensions / "by-hand", files_of("by-hand"))
    shutil.rmtree(home.extensions / "my-sampler")
    rows, left_out = home.installer.refresh()
    assert ([row.name for row in rows], left_out) == (["other"], ("by-hand",))
    assert home.install(tmp_path / "source").name == "my-sampler", "its name is free again"


# ---------------------------------------------------------------- over the network


class Shelf(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, and what goes wrong on the way."""

    def do_GET(self) -> None:
        if self.path == "/away.zip":
            self.send_response(302)
            self.send_header("Location", "http://example.org/x.zip")
            self.end_headers()
        elif self.path == "/half.zip":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"PK")
        else:
            super().do_GET()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "shelf").mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Shelf, directory=str(tmp_path / "shelf")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_zip_is_fetched_and_its_update_too(home: Home, tmp_path: Path, shelf: str) -> None:
    zipped(tmp_path / "shelf" / "x.zip", files_of(), "repository-main/")
    row = home.install(f"{shelf}/x.zip")
    assert (row.version, row.sha256) == ("1.0", unpacking.file_digest(tmp_path / "shelf" / "x.zip"))
    zipped(tmp_path / "shelf" / "x.zip", files_of(version="2.0"), "repository-main/")
    assert home.update("my-sampler").version == "2.0" and home.names == ["my-sampler"]


def test_what_goes_wrong_on_the_way_is_said_and_leaves_nothing(
    home: Home, tmp_path: Path, shelf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, says in {
        "nothing.zip": "it answers 404",
        "away.zip": "leads to an address that is not https",
        "half.zip": "broke off after 2 of 100,000 bytes|IncompleteRead",
    }.items():
        with pytest.raises(InstallError, match=says):
            home.stage(f"{shelf}/{path}")
    monkeypatch.setattr(fetching, "ARCHIVE_AT_MOST", 100)
    (tmp_path / "shelf" / "large.zip").write_bytes(bytes(1000))
    with pytest.raises(InstallError, match="so it was not fetched"):
        home.stage(f"{shelf}/large.zip")
    with pytest.raises(InstallError, match="cannot be fetched: Connection refused"):
        home.stage("http://127.0.0.1:9/x.zip")
    assert home.names == []

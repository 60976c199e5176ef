"""Pictures are saved under a name of their own, and nothing is ever overwritten."""

from __future__ import annotations

import threading
from pathlib import Path

from PIL import Image

from webui.contract.request import GenerationRequest
from webui.contract.result import CheckpointName, GeneratedImage
from webui.contract.settings import Settings
from webui.workspace.gallery import Gallery, next_number


def picture(seed: int = 5) -> GeneratedImage:
    return GeneratedImage(
        Image.new("RGB", (8, 8)), GenerationRequest(seed=seed), CheckpointName("x"), "a\nSteps: 1, Seed: 5, Size: 8x8"
    )


def test_a_picture_goes_into_the_folder_of_its_tab_and_day(tmp_path: Path) -> None:
    saved = Gallery(tmp_path).save(picture(), "txt2img", Settings())
    folder, day, name = saved.split("/")
    assert folder == "txt2img-images"
    assert len(day) == 10
    assert name == "00000-5.png"


def test_numbers_go_on_after_gaps_and_other_endings(tmp_path: Path) -> None:
    for name in ("00001-5.png", "00009-5.png", "00012-7.jpg", "grid-0099.png", "notes.txt"):
        (tmp_path / name).touch()
    assert next_number(tmp_path) == 13


def test_two_savers_never_overwrite_each_other(tmp_path: Path) -> None:
    saved: list[str] = []
    galleries = [Gallery(tmp_path), Gallery(tmp_path)]
    threads = [
        threading.Thread(target=lambda g=g: saved.extend(g.save(picture(), "txt2img", Settings()) for _ in range(10)))
        for g in galleries
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(saved)) == 20
    assert len(list(tmp_path.rglob("*.png"))) == 20
    assert not list(tmp_path.rglob("*.part"))


def test_only_pictures_below_the_folder_are_found(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path / "outputs")
    saved = gallery.save(picture(), "txt2img", Settings())
    (tmp_path / "secret.png").touch()
    (tmp_path / "outputs" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "outputs" / ".hidden.png").touch()
    (tmp_path / "outputs" / "page.html").touch()
    assert gallery.find(saved) is not None
    for bad in ("../secret.png", "link.png", ".hidden.png", "page.html", "/etc/passwd", "a\0b.png", ""):
        assert gallery.find(bad) is None, bad

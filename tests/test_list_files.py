"""webui list: what lies in the folders of other programs, by the flags that name them."""

from __future__ import annotations

import json
from pathlib import Path

from webui.main import main


def test_the_folders_of_other_programs_are_listed_by_kind(tmp_path: Path) -> None:
    places = {
        "comfy/models/loras/a.safetensors": "loras",
        "a1111/models/VAE/b.vae.pt": "autoencoders",
        "a1111/embeddings/sub/c.pt": "embeddings",
        "nets/d.pth": "controlnets",
    }
    for name in places:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "nets" / "readme.txt").touch()
    told = tmp_path / "told.json"
    flags = [
        "--models-dir",
        str(tmp_path / "comfy"),
        "--models-dir",
        str(tmp_path / "a1111"),
        "--controlnet-dir",
        str(tmp_path / "nets"),
    ]
    assert main(["--data-dir", str(tmp_path / "data"), "--cpu", *flags, "list", "--json", str(told)]) == 0
    lists = json.loads(told.read_text())
    assert {kind: lists[kind] for kind in places.values()} == {
        "loras": ["a.safetensors"], "autoencoders": ["b.vae.pt"], "embeddings": ["sub/c.pt"], "controlnets": ["d.pth"],
    }  # fmt: skip

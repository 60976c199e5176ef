"""Every key of the releases' full-size files becomes a parameter of the right shape, or is knowingly ignored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.checkpoints.sparse import sparse_file
from tests.shared import shared, shared_names
from webui.checkpoints.files import read_header
from webui.checkpoints.identify import identify
from webui.checkpoints.layout import parts_of
from webui.checkpoints.networks import build
from webui.contract.parts import Parts

LISTS = [name.removesuffix(".json.gz") for name in shared_names("reference/full_size_keys", "*.json.gz")]


@pytest.mark.parametrize("name", LISTS)
def test_nothing_is_missing_nothing_left_over_and_all_shapes_fit(name: str, parts: Parts, tmp_path: Path) -> None:
    path = sparse_file(shared(f"reference/full_size_keys/{name}.json.gz"), tmp_path / f"{name}.safetensors")
    shapes = read_header(path).shapes
    layout = parts_of(shapes, identify(path, parts.families))
    assert layout.unknown == ()
    tensors = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    for role, part in layout.parts.items():
        wanted = {key: tensor.shape for key, tensor in build(part.kind, part.configuration).state_dict().items()}
        assert {key: tensor.shape for key, tensor in part.state(tensors).items()} == wanted, role
    used = [source.key for part in layout.parts.values() for source in part.sources.values()]
    assert not set(used) & layout.ignored


def test_the_layout_is_told_from_shapes_in_no_time(parts: Parts, tmp_path: Path) -> None:
    """Not one tensor is needed: the files that the lists stand for hold nothing but a hole."""
    path = sparse_file(shared("reference/full_size_keys/sd_xl_base_1.0.json.gz"), tmp_path / "sd_xl_base_1.0.safetensors")
    assert path.stat().st_size > 6.9e9
    assert path.stat().st_blocks * 512 < 1e6
    assert set(parts_of(read_header(path).shapes, identify(path, parts.families)).parts) == {
        "unet",
        "autoencoder",
        "text",
        "text_2",
    }

"""The full-size checkpoints that benches are run on have the releases' own keys."""

import gzip
import json
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.shared import shared
from webui.bench import full_size

IGNORED = ("betas", "alphas", "sqrt_", "log_one", "posterior_", "model_ema.", "position_ids")


@pytest.mark.parametrize(("name", "made"), [("v1-5-pruned-emaonly", full_size.sd15()), ("sd_xl_base_1.0", full_size.sdxl())])
def test_keys_and_shapes_are_those_of_the_release(name: str, made: full_size.Shapes) -> None:
    listed = json.loads(gzip.decompress(shared(f"reference/full_size_keys/{name}.json.gz").read_bytes()))
    wanted = {key: tuple(shape) for key, (shape, _) in listed.items() if not any(part in key for part in IGNORED)}
    assert {key: shape for key, shape in made.items() if not any(part in key for part in IGNORED)} == wanted


@pytest.mark.parametrize("kind", ["F16", "BF16", "F32"])
def test_the_written_file_is_one_that_safetensors_reads(tmp_path: Path, kind: str) -> None:
    shapes: full_size.Shapes = {"a.weight": (3, 5), "b": (), "c": (7,)}
    size = full_size.write(tmp_path / "x.safetensors", shapes, kind)
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        read = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert {key: tuple(tensor.shape) for key, tensor in read.items()} == shapes
    assert size > full_size.KINDS[kind] * 23
    assert all(bool(tensor.isfinite().all()) and float(tensor.abs().max()) < 1 for tensor in read.values())

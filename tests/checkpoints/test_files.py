"""Files of weights are data: what is damaged or would run code is refused in one sentence."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import POCKET
from webui.checkpoints.files import read_header, read_tensors
from webui.checkpoints.identify import identify
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Parts

WEIGHTS = {"a.weight": torch.arange(6, dtype=torch.float16).view(2, 3), "b.bias": torch.ones(4)}


class ModelCheckpoint:
    """Stands for a training callback of a library that is not installed here."""


def test_a_safetensors_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(WEIGHTS, path)
    assert read_header(path).shapes == {"a.weight": (2, 3), "b.bias": (4,)}
    assert torch.equal(read_tensors(path)["a.weight"], WEIGHTS["a.weight"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float64])
def test_every_number_format_of_safetensors_opens(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({"x": torch.ones(3).to(dtype)}, tmp_path / "x.safetensors")
    assert read_tensors(tmp_path / "x.safetensors")["x"].float().tolist() == [1, 1, 1]


def test_a_ckpt_with_training_notes_beside_its_weights_is_read_as_data(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    notes = {"epoch": 3, "callbacks": {ModelCheckpoint: {"best": 0.5}}, "hyper_parameters": OrderedDict(lr=1e-4)}
    torch.save({"state_dict": WEIGHTS, **notes}, path)
    tensors = read_tensors(path)
    assert set(tensors) == set(WEIGHTS)
    assert torch.equal(tensors["a.weight"], WEIGHTS["a.weight"])
    assert read_header(path).shapes == {"a.weight": (2, 3), "b.bias": (4,)}


def test_views_of_one_storage_keep_their_place(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    torch.save({"state_dict": {"part": whole[1:, ::2], "turned": whole.T}}, tmp_path / "x.ckpt")
    tensors = read_tensors(tmp_path / "x.ckpt")
    assert torch.equal(tensors["part"], whole[1:, ::2])
    assert torch.equal(tensors["turned"], whole.T)


def test_safetensors_bytes_under_the_name_ckpt_open(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "x.ckpt")
    assert "b.bias" in read_tensors(tmp_path / "x.ckpt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.int64])
@pytest.mark.parametrize("is_zip", [True, False])
def test_every_number_format_of_a_ckpt_opens(tmp_path: Path, dtype: torch.dtype, is_zip: bool) -> None:
    path = tmp_path / "x.ckpt"
    whole = torch.arange(24).to(dtype)
    torch.save({"state_dict": {"a": whole[4:].view(4, 5), "b": whole}}, path, _use_new_zipfile_serialization=is_zip)
    header, tensors = read_header(path), read_tensors(path)
    assert header.shapes == {"a": (4, 5), "b": (24,)} and header.kinds == {str(dtype).removeprefix("torch.")}
    assert tensors["a"].dtype == dtype and tensors["a"].float().tolist() == whole[4:].view(4, 5).float().tolist()


def test_the_format_of_torch_before_2020_is_read_as_data(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    saved = {"state_dict": {"a": torch.arange(7.0), "b": torch.arange(6).half().view(2, 3).T}, "callbacks": {ModelCheckpoint: 1}}
    torch.save(saved, path, _use_new_zipfile_serialization=False)
    tensors = read_tensors(path)
    assert torch.equal(tensors["a"], torch.arange(7.0)) and torch.equal(tensors["b"], torch.arange(6).half().view(2, 3).T)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointReadError, match="is truncated"):
        read_header(path)


def test_small_tensors_are_read_by_name_and_the_rest_is_not(tmp_path: Path) -> None:
    weights = {"betas": torch.linspace(0, 1, 5), "scale_factor": torch.tensor(0.5), "w": torch.ones(5000)}
    torch.save({"state_dict": weights}, tmp_path / "x.ckpt")
    save_file(weights, tmp_path / "x.safetensors")
    for name in ("x.ckpt", "x.safetensors"):
        header = read_header(tmp_path / name)
        betas, scale = header.value("betas"), header.value("scale_factor")
        assert betas is not None and betas.tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert scale is not None and float(scale) == 0.5
        assert header.value("w") is None and header.value("none") is None


@pytest.mark.parametrize("kind", ["Q4_K", "F4", "U64"])
def test_an_unknown_number_format_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(header({"a": {"dtype": kind, "shape": [1], "data_offsets": [0, 8]}}, rest=b"\0" * 8))
    with pytest.raises(CheckpointReadError, match=f"format {kind}, which cannot be read"):
        read_header(tmp_path / "x.safetensors")


def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.ckpt")
    with pytest.raises(CheckpointReadError, match="is not a file"):
        read_header(tmp_path / "x.ckpt")


class Harm:
    def __init__(self, call: tuple[object, tuple[object, ...]]) -> None:
        self._call = call

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._call


@pytest.mark.parametrize("name", ["harm.ckpt", "harm.safetensors", "harm.SAFETENSORS"])
@pytest.mark.parametrize("how", ["system", "eval", "print", "popen"])
@pytest.mark.parametrize("form", ["zip", "old", "bare"])
def test_a_pickle_that_would_run_code_is_refused_by_name_and_does_not_run(tmp_path: Path, name: str, how: str, form: str) -> None:
    marker = tmp_path / "marker"
    calls: dict[str, tuple[object, tuple[object, ...]]] = {
        "system": (os.system, (f"touch {marker}",)),
        "eval": (eval, (f"open({str(marker)!r}, 'w')",)),
        "print": (print, ("ran",)),
        "popen": (os.popen, (f"touch {marker}",)),
    }
    content = {"state_dict": {"a": torch.ones(1), "b": Harm(calls[how])}}
    if form == "bare":
        (tmp_path / name).write_bytes(pickle.dumps(Harm(calls[how])))
    else:
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CheckpointReadError) as told:
        read_tensors(tmp_path / name)
    assert "not only data" in str(told.value) and f".{how}" in str(told.value)
    with pytest.raises(CheckpointReadError):
        read_header(tmp_path / name)
    assert not marker.exists()


def test_a_tensor_larger_than_its_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"a": torch.ones(4)}, path)
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, data in entries.items():
            if name.endswith("data.pkl"):
                data = data.replace(b"K\x04\x85", b"K\x7f\x85")  # the shape (4,) becomes (127,)
            new.writestr(name, data)
    with pytest.raises(CheckpointReadError):
        read_tensors(path)


def header(values: object, size: int | None = None, rest: bytes = b"") -> bytes:
    text = json.dumps(values).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + rest


FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
NO_WEIGHTS = [
    b"",
    b"\0",
    b"hello, this is no checkpoint at all",
    b"PK\x03\x04 only looks like a zip",
    header({}, size=2**63),
    header({}, size=10**12),
    header({"a": FLOATS}),
    header({"a": {**FLOATS, "shape": [2**40]}}, rest=b"\0" * 8),
    header({"a": FLOATS, "b": {**FLOATS, "data_offsets": [4, 12]}}, rest=b"\0" * 12),
    struct.pack("<Q", 8) + b"not json",
    pickle.dumps({"a": 1}),
]


@pytest.mark.parametrize("data", NO_WEIGHTS)
def test_what_is_no_file_of_weights_gets_one_sentence(tmp_path: Path, data: bytes, parts: Parts) -> None:
    for name in ("x.safetensors", "x.ckpt"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CheckpointReadError) as told:
            identify(tmp_path / name, parts.families)
        assert str(told.value).startswith(name)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_a_truncated_file_is_said_to_be_truncated(tmp_path: Path, share: float) -> None:
    whole = (POCKET / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointReadError, match=r"x\.safetensors (is truncated|is not a checkpoint)"):
        read_header(tmp_path / "x.safetensors")


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").symlink_to(tmp_path / "gone")
    with pytest.raises(CheckpointReadError, match="leads nowhere"):
        read_header(tmp_path / "x.safetensors")


def test_a_lora_in_the_wrong_folder_is_told_where_it_belongs(tmp_path: Path, parts: Parts) -> None:
    save_file({"lora_unet_down.lora_up.weight": torch.ones(2, 2)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointReadError, match=r"a LoRA\. It belongs into models/Lora"):
        identify(tmp_path / "x.safetensors", parts.families)


def test_a_folder_of_sd_2_is_not_taken_for_an_sd_1(tmp_path: Path, parts: Parts) -> None:
    shutil.copytree(POCKET, tmp_path / "sd2")
    config = tmp_path / "sd2" / "text_encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_act": "gelu"}))
    assert identify(tmp_path / "sd2", parts.families).family.name == "sd2"

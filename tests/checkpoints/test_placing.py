"""Weights are copied once, exactly, in the format and layout that were chosen, and hang on no file afterwards."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from webui.checkpoints.placing import MappedFile, Room

SHAPES = {"a": (1000, 300), "b": (7,), "c": (64, 32, 3, 3), "d": (), "e": (3, 400_000), "f": (0, 4)}


def mapped(path: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    save_file({name: torch.randn(shape).to(dtype) for name, shape in SHAPES.items()}, path)
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in SHAPES}


@pytest.mark.parametrize("wanted", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("own", [torch.float32, torch.float16, torch.float8_e4m3fn])
def test_values_are_those_of_a_plain_copy(tmp_path: Path, own: torch.dtype, wanted: torch.dtype) -> None:
    tensors = mapped(tmp_path / "x.safetensors", own)
    with MappedFile(tmp_path / "x.safetensors") as file:
        for tensor in tensors.values():
            for is_last in (False, True) if tensor.ndim == 4 else (False,):
                target = Room(tensor.numel() * 4 + 64).take(tensor.shape, wanted, is_last)
                file.copy(tensor, target)
                assert torch.equal(target.float(), tensor.to(wanted).float())
                assert not is_last or target.is_contiguous(memory_format=torch.channels_last)


def test_slices_and_transposed_views_of_mapped_tensors_come_right(tmp_path: Path) -> None:
    whole = mapped(tmp_path / "x.safetensors", torch.float16)["a"]
    views = [whole[200:700], whole.T, whole[:, ::2], whole.chunk(4)[3], torch.randn(50, 20).half()]
    with MappedFile(tmp_path / "x.safetensors") as file:
        for view in views:
            target = Room(view.numel() * 4).take(view.shape, torch.float32, False)
            file.copy(view, target)
            assert torch.equal(target, view.float())


def test_without_a_file_it_is_a_plain_copy() -> None:
    source = torch.randn(5, 6)
    with MappedFile(None) as file:
        target = Room(120).take(source.shape, torch.float32, False)
        file.copy(source, target)
    assert torch.equal(target, source)


def test_tensors_of_a_room_do_not_touch(tmp_path: Path) -> None:
    room = Room(64 * 3)
    first, second = room.take(torch.Size([3]), torch.float32, False), room.take(torch.Size([5]), torch.float16, False)
    first.fill_(1.0)
    second.fill_(2.0)
    assert first.tolist() == [1, 1, 1] and second.data_ptr() - first.data_ptr() == 64

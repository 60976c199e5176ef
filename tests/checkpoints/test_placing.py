"""Weights are copied once, exactly, in the format and layout that were chosen, and hang on no file afterwards."""

import copy
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from webui.bench import full_size
from webui.checkpoints.arithmetic import Arithmetic
from webui.checkpoints.families import FAMILIES
from webui.checkpoints.identify import identify
from webui.checkpoints.load import load
from webui.checkpoints.model import Model, widened
from webui.checkpoints.placing import AbandonedError, MappedFile, Room, place, slots_of
from webui.contract.errors import CheckpointReadError
from webui.contract.result import CheckpointName

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


@pytest.mark.parametrize("view", ["whole", "transposed", "widened", "columns"])
def test_a_file_that_is_cut_off_after_it_was_mapped_is_an_error_and_not_the_end(tmp_path: Path, view: str) -> None:
    file = tmp_path / "x.safetensors"
    tensor = mapped(file, torch.float16)["e"]
    source = {"transposed": tensor.T, "columns": tensor[:, ::7]}.get(view, tensor)
    target = torch.empty(source.shape, dtype=torch.float32 if view == "widened" else torch.float16)
    with MappedFile(file) as opened:
        os.truncate(file, 100_000)
        with pytest.raises(CheckpointReadError, match=r"x\.safetensors was cut off while it was read"):
            opened.copy(source, target)


def test_files_that_a_folder_only_links_to_are_read_past_their_mapping(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    tensors = mapped(tmp_path / "blob", torch.float16)
    (tmp_path / "folder" / "model.safetensors").symlink_to(tmp_path / "blob")
    with MappedFile(tmp_path / "folder") as opened:
        assert opened._place_of(tensors["a"]) is not None


# -- all of a checkpoint

FLOAT = Arithmetic(torch.float32, channels_last=True)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("small") / "x.safetensors"
    full_size.write(made, full_size.small())
    return made


def opened_model(file: Path) -> Model:
    return load(file, identify(file, FAMILIES), file.name, CheckpointName("x"))


def test_reading_stops_when_nobody_wants_it(file: Path) -> None:
    asked = 0

    def is_unwanted() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    with pytest.raises(AbandonedError):
        place(opened_model(file), torch.device("cpu"), FLOAT, is_unwanted)
    assert asked == 6


def test_a_checkpoint_that_is_cut_off_halfway_is_an_error(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "half.safetensors"
    copy.write_bytes(file.read_bytes())
    model, asked = opened_model(copy), 0

    def cut() -> bool:
        nonlocal asked
        asked += 1
        if asked == 50:
            os.truncate(copy, 1_000_000)
        return False

    with pytest.raises(CheckpointReadError, match=r"half\.safetensors was cut off"):
        place(model, torch.device("cpu"), FLOAT, cut)


def test_weights_that_go_to_a_device_and_back_are_the_same_bytes_in_the_same_networks(file: Path) -> None:
    """The processor's own memory stands for the device's here; on a graphics card the copy alone is another one."""
    model = opened_model(file)
    weights = place(model, torch.device("cpu"), FLOAT, is_shared=False)
    tensors = [slot.tensor for slot in slots_of(model, FLOAT) if not slot.is_buffer]
    first, at_first = [tensor.clone() for tensor in tensors], [tensor.data_ptr() for tensor in tensors]
    assert weights.is_on_host and not weights.is_on_device
    weights.to_device()
    assert weights.is_on_host and weights.is_on_device
    on_device = [tensor.data_ptr() for tensor in tensors]
    assert not set(on_device) & set(at_first)
    weights.leave_device()
    assert [tensor.data_ptr() for tensor in tensors] == at_first, "the copy that was there, and no new one"
    weights.to_device()
    weights.leave_host()
    assert weights.is_on_device and not weights.is_on_host
    weights.leave_device()
    assert weights.is_on_host, "what was nowhere else is copied back"
    for tensor, before in zip(tensors, first, strict=True):
        assert torch.equal(tensor, before) and tensor.stride() == before.stride()
    assert {id(tensor) for tensor in tensors} == {id(tensor) for network in model.networks for tensor in network.parameters()}


def test_where_host_and_device_are_one_nothing_moves(file: Path) -> None:
    model = opened_model(file)
    weights = place(model, torch.device("cpu"), FLOAT)
    before = [tensor.data_ptr() for network in model.networks for tensor in network.parameters()]
    weights.leave_device()
    weights.leave_host()
    weights.to_device()
    assert weights.is_on_device and weights.is_on_host
    assert [tensor.data_ptr() for network in model.networks for tensor in network.parameters()] == before


def test_a_copy_of_a_network_is_no_larger_than_the_network(file: Path) -> None:
    model = opened_model(file)
    weights = place(model, torch.device("cpu"), FLOAT, is_shared=False)
    weights.to_device()
    text = copy.deepcopy(model.encoders["text"])
    spaces = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in text.state_dict().values()}
    spaces |= {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in text.buffers()}
    assert list(text.buffers()) and sum(spaces.values()) < 0.6 * weights.bytes


@pytest.mark.parametrize("fails", [False, True])
def test_float32_for_once_leaves_the_weights_where_they_lie(file: Path, fails: bool) -> None:
    model = opened_model(file)
    place(model, torch.device("cpu"), Arithmetic(torch.float16, channels_last=False))
    before = [(tensor.data_ptr(), tensor.dtype) for tensor in model.autoencoder.parameters()]
    pixels = torch.zeros(1, 3, 64, 64)
    with torch.inference_mode():
        try:
            with widened(model.autoencoder):
                assert {tensor.dtype for tensor in model.autoencoder.parameters()} == {torch.float32}
                assert model.autoencoder.encode(pixels).latent_dist.mean.dtype == torch.float32
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert [(tensor.data_ptr(), tensor.dtype) for tensor in model.autoencoder.parameters()] == before


def test_all_weights_lie_in_one_piece_of_their_very_size(file: Path) -> None:
    model = opened_model(file)
    weights = place(model, torch.device("cpu"), FLOAT)
    spaces = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in model.autoencoder.parameters()}
    assert list(spaces.values()) == [weights.bytes]

"""Pages of a mapped file are let go after they were copied, and only those."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from webui.checkpoints.memory import MappedPages


def test_a_tensor_is_the_same_after_its_pages_were_let_go(tmp_path: Path) -> None:
    whole = {"a": torch.randn(1000, 100), "b": torch.randn(7), "c": torch.randn(300, 300)}
    save_file(whole, tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        pages = MappedPages(tmp_path / "x.safetensors")
        for name, value in whole.items():
            tensor = file.get_tensor(name)
            pages.let_go(tensor)
            assert torch.equal(tensor, value)


def test_memory_that_lies_on_no_file_is_never_dropped(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(10)}, tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        file.get_tensor("a")
        value = torch.randn(1000, 1000)
        copy = value.clone()
        MappedPages(tmp_path / "x.safetensors").let_go(value)
    assert torch.equal(value, copy)

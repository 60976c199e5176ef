import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from webui.checkpoints import upscalers
from webui.contract.errors import CheckpointReadError, UnknownCheckpointError
from webui.engine.sizes import enlarge
from webui.engine.upscale import Tiles, enlarged

upscalers._registry()
from spandrel.architectures.ESRGAN import ESRGAN  # noqa: E402 (only after spandrel was imported our way)
from spandrel.architectures.SwinIR import SwinIR  # noqa: E402


def esrgan(scale=2, channels=3, **options):
    torch.manual_seed(0)
    return (
        ESRGAN(in_nc=channels, out_nc=channels, num_filters=8, num_blocks=1, scale=scale, **options).eval().requires_grad_(False)
    )


def saved(folder, name, state):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path) if name.endswith(".safetensors") else torch.save(state, path)
    return path


def test_every_kind_of_file_gives_the_network_that_was_saved(tmp_path):
    network = esrgan()
    state = network.state_dict()
    pixels = torch.rand(1, 3, 19, 13)
    wanted = network(pixels).clamp(0, 1)
    files = [
        saved(tmp_path, "a.safetensors", state), saved(tmp_path, "b.pth", state), saved(tmp_path, "c.pth", {"params_ema": state}),
        saved(tmp_path, "d.pth", {"params": state}), saved(tmp_path, "e.pth", {"state_dict": state}),
    ]  # fmt: skip
    for name, content in (("old.pth", state), ("older.pth", {"params_ema": state, "params": {}})):
        files.append(tmp_path / name)
        torch.save(content, files[-1], _use_new_zipfile_serialization=False)
    files.append(tmp_path / "safetensors-under.pth")
    files[-1].write_bytes(files[0].read_bytes())
    for path in files:
        loaded = upscalers.load(path)
        assert loaded.scale == 2 and torch.equal(loaded.run(pixels), wanted), path.name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_open_and_run_in_float32(tmp_path, dtype):
    network = esrgan()
    path = saved(tmp_path, "half.safetensors", {key: value.to(dtype) for key, value in network.state_dict().items()})
    result = upscalers.load(path).run(torch.rand(1, 3, 8, 8))
    assert result.dtype == torch.float32 and bool(result.isfinite().all())


@pytest.mark.parametrize("channels", [1, 4])
def test_networks_of_other_channels_take_and_give_colours(tmp_path, channels):
    path = saved(tmp_path, "channels.safetensors", esrgan(channels=channels).state_dict())
    assert upscalers.load(path).run(torch.rand(1, 3, 6, 5)).shape == (1, 3, 12, 10)


def test_one_channel_is_run_for_each_colour(tmp_path):
    network = esrgan(channels=1)
    pixels = torch.rand(1, 3, 6, 5)
    result = upscalers.load(saved(tmp_path, "grey.safetensors", network.state_dict())).run(pixels)
    assert torch.allclose(result[:, 1:2], network(pixels[:, 1:2]).clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (33, 21)])
def test_a_window_network_and_a_shuffled_one_take_any_size(tmp_path, size):
    shuffled = ESRGAN(in_nc=12, out_nc=3, num_filters=8, num_blocks=1, scale=4, shuffle_factor=2)
    swin = SwinIR(img_size=16, depths=[2], num_heads=[2], embed_dim=8, window_size=8, mlp_ratio=2, upscale=2,
                  upsampler="pixelshuffledirect")  # fmt: skip
    for name, network in (("shuffled", shuffled), ("swin", swin)):
        loaded = upscalers.load(saved(tmp_path, f"{name}.pth", network.state_dict()))
        assert loaded.scale == 2
        assert loaded.run(torch.rand(1, 3, *size)).shape == (1, 3, size[0] * 2, size[1] * 2)


def test_unfit_files_are_marked_with_their_reason_and_hide_no_other(tmp_path):
    folder = tmp_path / "ESRGAN"
    saved(folder, "good.pth", esrgan(4).state_dict())
    saved(folder, "deblur.pth", esrgan(1).state_dict())
    saved(folder, "lora.safetensors", {"lora_unet_down.lora_up.weight": torch.zeros(2, 2)})
    saved(folder, "big-lama.pth", {"state_dict": {"generator.model.1.bn_l.running_mean": torch.zeros(2)}})
    saved(folder, "checkpoint.safetensors", {"model.diffusion_model.out.2.weight": torch.zeros(2)})
    saved(folder, "strange.safetensors", {"anything": torch.zeros(2)})
    saved(folder, "half.pth", {key: value for key, value in esrgan().state_dict().items() if "model.3" not in key})
    (folder / "text.pth").write_text("not weights")
    (folder / "empty.pth").touch()
    (folder / "gone.pth").symlink_to(folder / "nowhere.pth")
    entries = {entry.path.name: entry for entry in upscalers.Upscalers([tmp_path]).entries()}
    assert len(entries) == 10
    assert (entries["good.pth"].scale, entries["good.pth"].error) == (4, "")
    assert (entries["deblur.pth"].scale, entries["deblur.pth"].error) == (1, "")
    reasons = {"lora.safetensors": "LoRA", "big-lama.pth": "fills holes", "checkpoint.safetensors": "models/Stable-diffusion",
               "strange.safetensors": "no architecture", "half.pth": "fit", "text.pth": "text.pth", "empty.pth": "empty.pth",
               "gone.pth": "leads nowhere"}  # fmt: skip
    for name, words in reasons.items():
        assert words in entries[name].error and entries[name].error.endswith("."), (name, entries[name].error)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pth_that_would_run_code_is_refused_and_runs_nothing(tmp_path, zipped):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    path = tmp_path / "ESRGAN" / "harm.pth"
    path.parent.mkdir()
    torch.save({"weight": Harm()}, path, _use_new_zipfile_serialization=zipped)
    (entry,) = upscalers.Upscalers([tmp_path]).entries()
    assert "not only data" in entry.error and not (tmp_path / "harm").exists()


def test_an_old_pth_cut_off_anywhere_is_damaged(tmp_path):
    whole = tmp_path / "whole.pth"
    torch.save(esrgan().state_dict(), whole, _use_new_zipfile_serialization=False)
    data = whole.read_bytes()
    for share in (0.001, 0.3, 0.9, 0.9999):
        cut = tmp_path / "cut.pth"
        cut.write_bytes(data[: max(int(len(data) * share), 3)])
        with pytest.raises(CheckpointReadError):
            upscalers.load(cut)


def test_an_upscaler_is_found_by_title_file_and_stem_and_never_another(tmp_path):
    saved(tmp_path, "ESRGAN/4x.pth", esrgan().state_dict())
    saved(tmp_path, "DAT/4x.pth", esrgan().state_dict())
    saved(tmp_path, "DAT/x2.v1.pth", esrgan().state_dict())
    found = upscalers.Upscalers([tmp_path])
    assert found.find("DAT/4x.pth").title == "DAT/4x.pth"
    assert found.find("x2.v1").title == found.find("x2.v1.pth").title == "DAT/x2.v1.pth"
    with pytest.raises(UnknownCheckpointError, match="several"):
        found.find("4x")
    with pytest.raises(UnknownCheckpointError, match=r"Known: 4x, 4x, x2\.v1"):
        found.find("x2")


def test_a_changed_file_is_looked_at_again_and_the_loaded_one_is_kept(tmp_path):
    path = saved(tmp_path, "ESRGAN/a.pth", esrgan(2).state_dict())
    found = upscalers.Upscalers([tmp_path])
    network = found.load(found.find("a"))
    assert found.load(found.find("a")) is network
    saved(tmp_path, "ESRGAN/a.pth", esrgan(4).state_dict())
    os.utime(path, ns=(1, 1))
    assert found.find("a").scale == 4 and found.load(found.find("a")).scale == 4


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_picture_in_tiles_through_a_real_network_is_the_untiled_one(tmp_path, scale):
    from PIL import Image

    network = upscalers.load(saved(tmp_path, "net.pth", esrgan(scale).state_dict()))
    image = Image.effect_noise((61, 47), 60).convert("RGB")
    target = enlarge(image.size, scale)
    whole = enlarged(image, network, target)
    tiled = enlarged(image, network, target, Tiles(size=48, overlap=12))
    assert whole.size == tiled.size == target.size
    worst = max(abs(a - b) for a, b in zip(whole.tobytes(), tiled.tobytes(), strict=True))
    assert worst <= 1


def test_spandrel_is_opened_without_torchvision_and_leaves_no_stand_in_behind():
    code = (
        "import sys; from webui.checkpoints import upscalers; upscalers._registry();"
        "assert not any(name.startswith('torchvision') for name in sys.modules);"
        "assert 'spandrel.architectures.LaMa' not in sys.modules; print(len(upscalers._registry()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 30


def test_without_spandrel_a_file_is_listed_with_what_to_install(tmp_path):
    program = (
        "import sys\nsys.modules['spandrel'] = None\nfrom pathlib import Path\n"
        "from webui.checkpoints.upscalers import Upscalers\n"
        f"(entry,) = Upscalers([Path({str(tmp_path)!r})]).entries()\nprint(entry.error)"
    )
    (tmp_path / "ESRGAN").mkdir()
    save_file({"a": torch.ones(1)}, tmp_path / "ESRGAN" / "4x.safetensors")
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "needs spandrel, which is not there" in said and "pip install --no-deps spandrel" in said

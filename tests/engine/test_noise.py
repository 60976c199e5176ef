import hashlib
import json
import math

import numpy as np
import pytest
import torch

from tests.shared import shared
from webui.engine.noise import SOURCES, PhiloxStream, SeededNoise, TorchStream, paste, philox, slerp

SHAPE = (4, 8, 6)
BOTH = pytest.mark.parametrize("source", SOURCES)


def test_cpu_noise_is_torchs_own():
    noise = SeededNoise([42], SHAPE)
    generator = torch.Generator().manual_seed(42)
    assert torch.equal(noise.start()[0], torch.randn(SHAPE, generator=generator))
    assert torch.equal(noise(14.6, 7.0)[0], torch.randn(SHAPE, generator=generator))
    assert torch.equal(noise(7.0, 3.0)[0], torch.randn(SHAPE, generator=generator))


def test_philox_is_the_published_cipher():
    """The known answer of the paper's own test vectors: counter 0, key 0."""
    assert [hex(word) for word in philox(0, 0, 1)[:, 0]] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


@BOTH
def test_noise_is_unit_normal(source):
    values = SOURCES[source](7)((4, 100, 100))
    assert float(values.mean()) == pytest.approx(0, abs=0.02)
    assert float(values.std()) == pytest.approx(1, abs=0.02)
    assert float((values.abs() < 1).float().mean()) == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.01)


@BOTH
@pytest.mark.parametrize("options", [{}, {"step_seed_shift": 31337}, {"from_shape": (4, 5, 9)}, {"variation_strength": 0.3}])
def test_a_picture_has_the_same_noise_alone_and_in_a_batch(source, options):
    seeds, variations = [7, 8, 2**63 - 1, 0], [100, 101, 102, 103]

    def noise(chosen):
        varied = [variations[i] for i in chosen] if "variation_strength" in options else None
        return SeededNoise([seeds[i] for i in chosen], SHAPE, source=source, variation_seeds=varied, **options)

    together = noise(range(4))
    steps = [together.start(), together(9, 5), together(5, 2)]
    for i in range(4):
        alone = noise([i])
        for step, drawn in zip(steps, [alone.start(), alone(9, 5), alone(5, 2)], strict=True):
            assert torch.equal(step[i], drawn[0])
    assert len({step.numpy().tobytes() for step in steps}) == 3


@BOTH
def test_the_start_can_be_asked_for_again_and_changed_without_harm(source):
    noise = SeededNoise([1, 2], SHAPE, source=source)
    first = noise.start()
    first.mul_(2)
    assert torch.equal(noise.start(), first / 2)
    assert first.shape == (2, *SHAPE) and first.dtype == torch.float32 and first.device.type == "cpu"


@BOTH
def test_the_step_seed_shift_changes_steps_only(source):
    plain, shifted = SeededNoise([5], SHAPE, source=source), SeededNoise([5], SHAPE, source=source, step_seed_shift=10)
    assert torch.equal(plain.start(), shifted.start())
    assert torch.equal(shifted(2, 1), SeededNoise([15], SHAPE, source=source).start())


@BOTH
def test_a_variation_goes_from_the_seed_to_the_other(source):
    def at(strength):
        return SeededNoise([5], SHAPE, source=source, variation_seeds=[6], variation_strength=strength).start()

    seed, other = SeededNoise([5], SHAPE, source=source).start(), SeededNoise([6], SHAPE, source=source).start()
    assert torch.equal(at(0.0), seed)
    assert torch.allclose(at(1.0), other, atol=1e-6)
    assert torch.allclose(at(1e-6), seed, atol=1e-4)


def test_slerp_turns_by_a_share_of_the_angle():
    low, high = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [1.0, 2.0]]])
    third = slerp(1 / 3, low, high)
    assert third[0, 0].tolist() == pytest.approx([math.cos(math.pi / 6), 2 * math.cos(math.pi / 6)])
    assert third[0, 1].tolist() == pytest.approx([0.5, 1.0])
    single = slerp(0.25, torch.randn(4, 1, 5), torch.randn(4, 1, 5))  # every row parallel by itself
    assert bool(single.isfinite().all())


def test_paste_keeps_the_middle():
    outer, inner = torch.zeros(1, 5, 4), torch.ones(1, 2, 2)
    assert paste(inner, outer)[0].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    large = torch.arange(36.0).view(1, 6, 6)
    assert torch.equal(paste(large, torch.zeros(1, 2, 4)), large[:, 2:4, 1:5])
    assert float(outer.sum()) == 0


def test_large_seeds_are_all_different():
    starts = [SeededNoise([seed], SHAPE, source="NV").start() for seed in (0, 1, 2**32, 2**32 + 1, 2**63 - 1)]
    assert len({start.numpy().tobytes() for start in starts}) == 5


# --- the published code ---


def same(ours: torch.Tensor, theirs: dict, bound: float = 0.0) -> None:
    assert list(ours.shape) == theirs["shape"]
    flat = ours.flatten()
    first = torch.tensor(theirs["first64"], dtype=torch.float32)
    assert float((flat[: len(first)] - first).abs().max()) <= bound
    assert float(flat.double().sum()) == pytest.approx(theirs["sum"], abs=1e-6 + bound * len(flat))
    assert float((flat.double() ** 2).sum()) == pytest.approx(theirs["sum_squares"], rel=1e-6 + bound)
    if "sha256" in theirs and not bound:
        assert hashlib.sha256(flat.numpy().astype("<f4").tobytes()).hexdigest() == theirs["sha256"]


def test_philox_equals_the_reference():
    reference = json.loads(shared("reference/rng/philox.json").read_text())
    for case in reference["words"]:
        ours = philox(case["seed"], case["offset"], len(case["words"]))
        assert ours.T.tolist() == case["words"]
    for case in reference["normals"]:
        stream = PhiloxStream(case["seed"])
        for draw in case["draws"]:
            same(stream(tuple(draw["shape"])), draw)


def test_cpu_equals_the_reference():
    for case in json.loads(shared("reference/rng/cpu.json").read_text())["normals"]:
        stream = TorchStream(case["seed"])
        for draw in case["draws"]:
            same(stream(tuple(draw["shape"])), draw)


def test_slerp_equals_the_reference():
    reference = json.loads(shared("reference/rng/slerp.json").read_text())
    low, high = (torch.tensor(reference[name], dtype=torch.float32) for name in ("low", "high"))
    for case in reference["results"]:
        assert np.abs(slerp(case["strength"], low, high).numpy() - np.array(case["value"])).max() < 1e-5
    parallel = reference["nearly_parallel"]
    assert np.abs(slerp(parallel["strength"], low, low * 1.5).numpy() - np.array(parallel["value"])).max() < 1e-5


def test_every_case_of_image_rng_equals_the_reference():
    for case in json.loads(shared("reference/rng/image_rng.json").read_text()):
        shape = tuple(case["shape"])
        height, width = case.get("seed_resize_from_h", 0) // 8, case.get("seed_resize_from_w", 0) // 8
        noise = SeededNoise(
            case["seeds"],
            shape,
            source=case["source"],
            variation_seeds=case.get("subseeds"),
            variation_strength=case.get("subseed_strength", 0.0),
            from_shape=(shape[0], height, width) if height and width else None,
            step_seed_shift=case["ensd"],
        )
        bound = 1e-5 if "subseeds" in case else 0.0
        start = noise.start()
        for drawn, theirs in zip([start, noise(1, 0), noise(1, 0)], case["next"], strict=True):
            same(drawn, theirs, bound)
        for picture, theirs in zip(start, case["images_of_first"], strict=True):
            values = theirs["first64"] if isinstance(theirs, dict) else theirs
            assert np.abs(picture.flatten()[: len(values)].numpy() - np.array(values, dtype=np.float32)).max() <= bound

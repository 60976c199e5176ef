"""The recipe: every stage for a few steps, stopped and gone on with, and an export that others open."""

import itertools
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from webui.checkpoints.tokenizer import END, START, WORDS, clip_tokenizer
from webui.contract.errors import FieldError, StartError, UnknownNameError
from webui.training.autoencoder import fold, load_autoencoder, reconstruction
from webui.training.judging import SHIPPED, accuracy, load_judge
from webui.training.loop import Arithmetic, Learner, StopSignal, draws, learn, read_state
from webui.training.networks import SCALE, decode, make_autoencoder, mean_latents, start_linear
from webui.training.options import Goal, TrainOptions
from webui.training.recipes.pocket import PocketRecipe
from webui.training.scenes import held_out_pictures, to_tensor
from webui.training.toys import scene as toys
from webui.training.toys.judge import load_toy_judge
from webui.training.training import STOPPED, run_train
from webui.training.unet import add_strange_words, load_networks, loss_weight, rows
from webui.training.worlds import HELD_OUT, Worlds

SCENES = 44
"""More than one pack, so that rendering and encoding can stop between two."""
STEPS = {"autoencoder": 3, "decoder": 2, "unet": 3, "judge": 3, "toy-judge": 3}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def options(state: Path, **changes) -> TrainOptions:
    return TrainOptions(state=state, device="cpu", threads=1, scenes=SCENES, batch=2, **changes)


def quiet(text: str) -> None:
    """Nothing is said."""


def stop_after(calls: int):
    """A should_stop that says yes at that call and ever after."""
    counter = itertools.count(1)
    return lambda: next(counter) >= calls


def run_stage(state: Path, stage: str, should_stop=lambda: False, **changes) -> bool:
    asked = options(state, stage=stage, samples=2 * STEPS.get(stage, 1), **changes)
    return PocketRecipe(asked, quiet, should_stop).run()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A state folder in which every stage ran for a few steps, without a stop."""
    state = tmp_path_factory.mktemp("trained")
    for stage in ("render", "autoencoder", "encode", "unet", "export", "judge"):
        assert run_stage(state, stage)
    return state


@pytest.fixture(scope="module")
def trained_on_both(sprites, tmp_path_factory) -> Path:
    """As `trained`, with toys and shapes."""
    state = tmp_path_factory.mktemp("both")
    for stage in ("render", "autoencoder", "encode", "unet", "decoder", "export", "judge", "toy-judge"):
        assert run_stage(state, stage, sprites=sprites), stage
    return state


def same_tensors(one, two) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same_tensors(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same_tensors, one, two))
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def test_a_run_that_is_stopped_in_every_stage_ends_with_the_same_bytes_as_one_that_is_not(trained, tmp_path):
    for stage in ("render", "autoencoder", "encode", "unet", "judge"):
        assert not run_stage(tmp_path, stage, stop_after(2 if stage in STEPS else 1))
        if stage in STEPS:
            state = read_state(tmp_path / f"{stage}.pt")
            assert state["clock"]["step"] == 1, "it stopped after one step"
        assert run_stage(tmp_path, stage)
    assert run_stage(tmp_path, "export")
    for stage in ("autoencoder", "unet", "judge"):
        one, two = read_state(trained / f"{stage}.pt"), read_state(tmp_path / f"{stage}.pt")
        for state in (one, two):
            state["clock"].pop("seconds")
        assert same_tensors(one, two), stage
    for name in ("pictures.npy", "latents.npy", "tokens.npy"):
        assert (trained / name).read_bytes() == (tmp_path / name).read_bytes(), name
    assert same_tensors(load_file(trained / "judge.safetensors"), load_file(tmp_path / "judge.safetensors"))
    for part in ("vae/diffusion_pytorch_model", "unet/diffusion_pytorch_model", "text_encoder/model"):
        assert (trained / f"pocket/{part}.safetensors").read_bytes() == (tmp_path / f"pocket/{part}.safetensors").read_bytes()


def test_every_stage_runs_on_both_worlds(trained_on_both, trained):
    shapes, both = (np.load(state / "tokens.npy") for state in (trained, trained_on_both))
    np.testing.assert_array_equal(both[::5], shapes[::5], "each fifth scene is one of shapes")
    assert not (both[1] == shapes[1]).all()
    known = read_state(trained_on_both / "unet.pt")["known"].tolist()
    first_toy = toys.sample(1).toys[0].name
    assert set(clip_tokenizer()(first_toy)) <= set(known)
    assert (trained_on_both / "pocket/model_index.json").exists() and (trained_on_both / "judge.safetensors").exists()
    judge = load_toy_judge(trained_on_both / "toy-judge.safetensors")
    assert len(judge.toy.bias) == len(toys.names())


def test_the_judge_of_the_toys_goes_on_where_it_was_stopped(trained_on_both, sprites, tmp_path):
    assert not run_stage(tmp_path, "toy-judge", stop_after(2), sprites=sprites)
    assert run_stage(tmp_path, "toy-judge", sprites=sprites)
    one, two = (load_file(state / "toy-judge.safetensors") for state in (trained_on_both, tmp_path))
    assert same_tensors(one, two)


def test_toys_need_their_sprites(trained, trained_on_both, sprites, tmp_path):
    for stage in ("toy-judge", "held-out"):
        with pytest.raises(StartError, match=f"{stage} paints toys: say with --sprites"):
            run_stage(tmp_path, stage)
    with pytest.raises(StartError, match=r"docs/pocket\.md says where the sprites come from"):
        run_stage(tmp_path, "render", sprites=tmp_path)
    with pytest.raises(StartError, match="holds scenes of toys and shapes, not of shapes"):
        run_stage(trained_on_both, "decoder")
    rendered = Worlds(tmp_path / "worlds", SCENES, sprites=sprites)
    assert rendered.render(Arithmetic.choose("cpu"), 1, quiet, lambda: False)
    with pytest.raises(StartError, match="holds scenes of shapes, not of toys and shapes"):
        run_stage(trained, "encode", sprites=sprites, worlds=tmp_path / "worlds")


def test_a_finished_stage_goes_on_only_when_it_is_asked_for(trained, tmp_path):
    said: list[str] = []
    (tmp_path / "autoencoder").symlink_to(trained / "autoencoder")
    for name in ("pictures", "latents", "tokens"):
        (tmp_path / f"{name}.npy").symlink_to(trained / f"{name}.npy")
        (tmp_path / f"{name}.filled").write_text(str(SCENES))
    (tmp_path / "unet.pt").write_bytes((trained / "unet.pt").read_bytes())
    asked = options(tmp_path, samples=2)
    assert PocketRecipe(asked, said.append, lambda: False).run()
    assert "unet: finished before" in said
    assert read_state(tmp_path / "unet.pt")["clock"]["step"] == STEPS["unet"]
    assert PocketRecipe(replace(asked, stage="unet"), quiet, lambda: False).run()
    assert read_state(tmp_path / "unet.pt")["clock"]["step"] == STEPS["unet"] + 1


def test_training_goes_on_from_an_exported_checkpoint_and_the_decoder_alone_can_learn(trained, tmp_path):
    begin = trained / "pocket"
    for stage in ("render", "encode", "unet", "decoder", "export"):
        assert run_stage(tmp_path, stage, init=begin)
    old, new = (load_file(folder / "pocket/vae/diffusion_pytorch_model.safetensors") for folder in (trained, tmp_path))
    changed = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert changed <= {"decoder", "post_quant_conv"} and "decoder" in changed
    first = read_state(tmp_path / "unet.pt")["networks"]["unet"]["conv_in.weight"]
    before = load_file(begin / "unet/diffusion_pytorch_model.safetensors")["conv_in.weight"].float()
    assert (first - before).abs().max() < 0.02, "it began with other weights"


def test_the_autoencoder_cannot_change_under_latents_that_are_in_use(trained):
    with pytest.raises(StartError, match="--stage decoder"):
        run_stage(trained, "autoencoder")


def test_diffusers_own_pipeline_opens_the_export_without_a_network(trained, monkeypatch):
    if "kornia" not in sys.modules:  # diffusers' pipelines break where kornia lies without kornia_rs
        monkeypatch.setitem(sys.modules, "kornia", None)
    from diffusers import StableDiffusionPipeline

    def refuse(*_):
        raise AssertionError("opening a checkpoint asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    pipe = StableDiffusionPipeline.from_pretrained(trained / "pocket", local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("a red sphere", num_inference_steps=2, output_type="np").images[0]
    assert picture.shape == (128, 128, 3)
    assert pipe.tokenizer("a red sphere").input_ids == [START, *clip_tokenizer()("a red sphere"), END]


def test_words_outside_the_world_have_zero_rows_in_the_export(trained):
    table = load_file(trained / "pocket/text_encoder/model.safetensors")["text_model.embeddings.token_embedding.weight"]
    known = read_state(trained / "unet.pt")["known"]
    assert table.shape == (WORDS, 96)
    used = torch.nonzero(table.abs().sum(1)).flatten()
    assert torch.equal(used, known)
    _, text, again = load_networks(trained / "pocket", np.asarray([END]))
    assert torch.equal(again, known)
    assert torch.equal(text.embeddings.token_embedding.weight[1:], table[known].float())


def test_folding_changes_no_picture_and_makes_the_latents_unit():
    torch.manual_seed(0)
    network, pictures = make_autoencoder(), held_out_pictures(16)
    start_linear(network)
    x = to_tensor(pictures)
    with torch.no_grad():
        before = decode(network, mean_latents(network, x))
        fold(network, pictures)
        z = mean_latents(network, x)
        torch.testing.assert_close(decode(network, z), before, atol=2e-3, rtol=0)
    values = (z * SCALE).transpose(0, 1).flatten(1)
    torch.testing.assert_close(values.mean(1), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.cov(values), torch.eye(4), atol=5e-3, rtol=0)


def test_a_near_linear_start_already_passes_the_picture_through(trained):
    torch.manual_seed(0)
    plain, begun = make_autoencoder(), make_autoencoder()
    start_linear(begun)
    x = to_tensor(held_out_pictures(4))

    def linear_fit(network) -> float:
        """Share of the output's variance that a linear map of the picture's 8 x 8 means explains."""
        with torch.no_grad():
            out = decode(network, mean_latents(network, x))
        small = torch.nn.functional.avg_pool2d(x, 8).transpose(0, 1).flatten(1)
        seen = torch.nn.functional.avg_pool2d(out, 8).transpose(0, 1).flatten(1).T
        ones = torch.cat([small, torch.ones(1, small.shape[1])]).T
        left = seen - ones @ torch.linalg.lstsq(ones, seen).solution
        return 1 - float(left.var() / seen.var())

    assert linear_fit(begun) > linear_fit(plain)
    assert reconstruction(load_autoencoder(trained / "autoencoder"), held_out_pictures(4)) > 5


def test_bfloat16_trains_as_on_a_gpu(tmp_path):
    torch.manual_seed(0)
    arithmetic = Arithmetic(torch.device("cpu"), torch.bfloat16, large_batches=True)
    layer = torch.nn.Linear(8, 8)
    learner = Learner({"layer": layer}, list(layer.parameters()), 1e-2, 0.9, warm_steps=1)
    errors = []

    def loss(step: int) -> torch.Tensor:
        x = torch.randn(64, 8, generator=draws(0, step)[1])
        with arithmetic():
            out = layer(x)
        assert out.dtype == torch.bfloat16
        errors.append((out.float() - x).pow(2).mean())
        return errors[-1]

    curve = tmp_path / "layer.tsv"
    goal = Goal(samples=64 * 200)
    assert learn(learner, goal, loss, 64, save=lambda: None, say=quiet, should_stop=lambda: False, curve=curve)
    assert layer.weight.dtype == torch.float32
    assert errors[-1] < errors[0] / 20


def test_a_curve_of_the_loss_is_kept_over_stops(tmp_path):
    layer = torch.nn.Linear(2, 2)
    learner = Learner({"layer": layer}, list(layer.parameters()), 0.1, 0.9)
    curve = tmp_path / "layer.tsv"

    def run(should_stop) -> bool:
        told = {"save": lambda: None, "say": quiet, "should_stop": should_stop, "curve": curve}
        return learn(learner, Goal(samples=40), lambda step: layer.weight.square().sum(), 4, **told)

    assert not run(stop_after(4))
    assert run(lambda: False)
    head, first, second = (line.split("\t") for line in curve.read_text().splitlines())
    assert head == ["samples", "seconds", "loss"]
    assert (first[0], second[0]) == ("12", "40")
    assert float(second[2]) < float(first[2])


def test_the_average_is_put_in_and_taken_out_again():
    layer = torch.nn.Linear(2, 2)
    learner = Learner({"layer": layer}, list(layer.parameters()), 0.1, 0.9)
    trained = layer.weight.detach().clone()
    learner.average[0].fill_(7)
    with learner.averaged():
        assert (layer.weight == 7).all()
    assert torch.equal(layer.weight, trained)


def test_control_c_asks_for_an_orderly_end():
    before = signal.getsignal(signal.SIGINT)
    with StopSignal() as should_stop:
        assert not should_stop()
        signal.raise_signal(signal.SIGINT)
        assert should_stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stopped_run_answers_its_own_exit_code_and_says_how_to_go_on(tmp_path):
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if text.startswith("render"):
            signal.raise_signal(signal.SIGINT)

    assert run_train("pocket", options(tmp_path, samples=2), say) == STOPPED
    assert said[-1] == "Stopped and saved. The same command goes on from here."


def test_what_cannot_be_trained_is_said_in_a_sentence(tmp_path):
    with pytest.raises(UnknownNameError, match="pocket"):
        run_train("poket", options(tmp_path))
    with pytest.raises(UnknownNameError, match="Did you mean 'unet'"):
        run_train("pocket", options(tmp_path, stage="unit"))
    with pytest.raises(FieldError, match="leave one out"):
        run_train("pocket", options(tmp_path, minutes=1.0, samples=2))
    with pytest.raises(StartError, match="--stage encode first"):
        run_train("pocket", options(tmp_path, stage="unet"))
    with pytest.raises(StartError, match="no folder vae"):
        run_train("pocket", options(tmp_path, init=tmp_path / "nothing"))
    with pytest.raises(StartError, match="torch sees no GPU"):
        Arithmetic.choose("cuda:99") if not torch.cuda.is_available() else pytest.skip("this machine has a GPU")


def test_another_number_of_scenes_in_the_same_folder_is_refused(trained):
    with pytest.raises(StartError, match=f"--scenes {SCENES}"):
        PocketRecipe(replace(options(trained, stage="render"), scenes=SCENES + 1), quiet, lambda: False).run()


def test_minutes_are_shared_by_the_stages_that_train(tmp_path):
    def seconds(name, **changes):
        return PocketRecipe(options(tmp_path, minutes=30.0, **changes), quiet, lambda: False).goal(name).seconds

    assert seconds("autoencoder") == pytest.approx(600)
    assert seconds("unet") == pytest.approx(1200)
    assert seconds("unet", stage="unet") == pytest.approx(1800)
    assert seconds("unet", init=Path("models/pocket")) == pytest.approx(1800)


def test_more_is_learnt_where_there_are_toys_unless_it_is_said_how_much(sprites, tmp_path):
    def samples(**changes):
        return PocketRecipe(options(tmp_path, **changes), quiet, lambda: False).goal("unet").samples

    assert samples(sprites=sprites) == 2_500_000
    assert samples() == 600_000
    assert samples(sprites=sprites, samples=7) == 7
    assert samples(sprites=sprites, minutes=3.0) is None


def test_noisier_steps_count_as_in_a_v_loss():
    alpha = torch.tensor([0.99, 0.5, 0.02])
    snr = alpha / (1 - alpha)
    torch.testing.assert_close(loss_weight(alpha)[1:], ((1 + 1 / snr) / 15)[1:])
    assert loss_weight(alpha)[0] == pytest.approx(float((5 / snr * (1 + 1 / snr) / 15)[0]))


def test_strange_words_stand_inside_the_caption_and_keep_its_words():
    end, rng = 5, np.random.default_rng(0)
    plain = np.asarray([[4, 1, 2, 3] + [end] * 9] * 400)
    changed = plain.copy()
    add_strange_words(changed, rng)
    touched = (changed != plain).any(1)
    assert 0.04 < touched.mean() < 0.13
    for row in changed[touched]:
        assert row[0] == 4 and row[-1] == end
        assert [word for word in row if word not in (0, end)] == [4, 1, 2, 3]


def test_known_words_have_rows_of_their_own_and_all_others_share_the_zero_row():
    row_of = rows(torch.tensor([7, 9, END]))
    assert row_of[[7, 9, END, 8]].tolist() == [1, 2, 3, 0]


def test_pictures_are_the_same_in_one_process_and_in_two(tmp_path):
    one, two = (Worlds(tmp_path / str(workers), 70) for workers in (1, 2))
    for worlds, workers in ((one, 1), (two, 2)):
        assert worlds.render(Arithmetic.choose("cpu"), workers, quiet, lambda: False)
    for name in ("pictures", "depth", "boxes"):
        np.testing.assert_array_equal(getattr(one, name).array, getattr(two, name).array)


def test_the_committed_judge_names_what_is_rendered():
    assert SHIPPED.stat().st_size < 600_000
    colour, shape = accuracy(load_judge(), held_out_pictures(80), HELD_OUT)
    assert colour > 0.95
    assert shape > 0.93

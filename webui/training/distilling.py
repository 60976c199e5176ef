"""A few-step student by adversarial diffusion distillation, of any teacher in SD's shape.

The student starts from the teacher's weights. It is drawn one of its four times, of which the last is pure noise, and
denoises the noised picture in one go. It learns from two: an adversary says whether that looks real, and the teacher,
to which the student's own picture is shown noised again, says what it would have drawn instead.

Source: Sauer et al. 2023, "Adversarial diffusion distillation", arXiv:2311.17042; equation numbers below are its.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTextModel
from transformers.utils import logging

from webui.checkpoints.tokenizer import END
from webui.contract.errors import StartError
from webui.training.critic import Critic, Features, JudgeFeatures, TeacherFeatures
from webui.training.loop import Arithmetic, Learner, draws, learn, read_state, write_state
from webui.training.namer import Naming
from webui.training.networks import SCALE, Autoencoder, TextEncoder, UNet
from webui.training.options import Goal
from webui.training.scenes import padded
from webui.training.toys.judge import load_toy_judge

SEED = 8
RATE, AVERAGE_RATE = 3e-4, 0.997
ON_RATE = 1e-4
"""Of a student that goes on from one that draws well."""
TIMES = (249, 499, 749, 999)
"""The student's; at the last one it is shown no picture at all, though its schedule would leave a trace of it."""
NOISE, OWN, RENDER = range(3)
WAYS = (6, 8, 2)
"""How often a student's picture begins at pure noise, goes on where its own walk has come to, or goes on from a noised render.
Pictures of one step begin at noise; those of more are walked from what it drew itself (Yin et al. 2024, arXiv:2405.14867),
where a render would hide what it does wrong."""
OWN_OFTEN = (1, 2, 3)
"""How often its own walk ends at each time but the last: what is drawn is decided early."""
DISTILLATION = 2.5
"""Lambda, the weight of the distillation loss (eq. 1)."""
AWAY_FROM_NOISE = 1.5
"""Exponent of the teacher's drawn time: 1 draws them evenly, more draws little noise more often."""
LARGEST = 5.0
"""Latents of the teacher's answers are held to it: with guidance its first guesses at pure noise go far beyond any picture."""
NAMING = 0.12
"""Weight of what the namer says, where no render was shown: there the picture is settled."""
HELD = 5.0
"""Weight of what a student makes of noised renders, against what the one that it began from makes of them."""
PARTS = ("adversarial", "distillation", "text", "naming")
FEATURES = ("teacher", "judge")


@dataclass(frozen=True)
class Teacher:
    """The frozen networks, and how their answers are read."""

    unet: UNet
    text: TextEncoder
    alphas: Tensor
    """(T,) share of the picture's variance that is left at each time."""
    predicts_v: bool
    pad: int
    """Token behind the end of the words: the end again, and 0 for OpenCLIP's encoders."""

    @classmethod
    def open(cls, folder: Path, arithmetic: Arithmetic) -> Teacher:
        """From a checkpoint in diffusers layout.

        Raises:
            StartError: it is none, or not of SD's shape.
        """
        logging.disable_progress_bar()
        try:
            unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32, local_files_only=True)
            text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32, local_files_only=True)
            scale = json.loads((folder / "vae" / "config.json").read_text("utf-8")).get("scaling_factor", SCALE)
            schedule = DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise StartError(f"{folder} cannot be opened as a teacher: {str(error).splitlines()[0]}") from error
        config = unet.config
        if config.in_channels != 4 or config.class_embed_type or config.num_class_embeds or config.addition_embed_type:
            raise StartError(f"{folder} draws from more than words, or is none of SD's shape: it can be no teacher here.")
        if scale != SCALE:
            raise StartError(f"The latents of {folder} have the scale {scale}, not SD's {SCALE}: it can be no teacher here.")
        for network in (unet, text):
            arithmetic.put(network)
            network.eval().requires_grad_(False)
        predicts_v = schedule.config.prediction_type == "v_prediction"
        return cls(
            unet,
            text,
            schedule.alphas_cumprod.to(arithmetic.device),
            predicts_v,
            END if text.config.hidden_act == "quick_gelu" else 0,
        )

    def context(self, ids: NDArray) -> Tensor:
        """(B, 77) CLIP ids, filled with the end token, to (B, 77, W)."""
        rows = torch.from_numpy(ids.astype(np.int64))
        ended = (rows == END).cumsum(1) > 1
        return self.text(rows.masked_fill(ended, self.pad).to(self.alphas.device)).last_hidden_state.float()

    def clean(self, unet: UNet, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """What this teacher, or a student of it, takes noised latents (B, 4, h, w) of times t (B,) for without the noise."""
        out = unet(x.contiguous(memory_format=torch.channels_last), t, context).sample.float()
        a = self.share(t)
        if self.predicts_v:
            return a.sqrt() * x - (1 - a).sqrt() * out
        return (x - (1 - a).sqrt() * out) / a.sqrt()

    def sigma(self, t: int) -> Tensor:
        """Noise level of a time, in units of the clean latents."""
        return ((1 - self.alphas[t]) / self.alphas[t]).sqrt()

    def share(self, t: Tensor) -> Tensor:
        """alphas at times (B,), to be multiplied with latents."""
        return self.alphas[t][:, None, None, None]


@dataclass(frozen=True)
class Distillation:
    """How the student learns.

    Args:
        without: of PARTS, for comparisons; "text" leaves the adversary untold of the words.
        features: of FEATURES, what the adversary stands on.
        guidance: of the teacher's answers.
    """

    without: tuple[str, ...] = ()
    features: str = "teacher"
    guidance: float = 4.0


def train_turbo(
    state_file: Path,
    latents: NDArray,
    tokens: NDArray,
    base: Path,
    how: Distillation,
    goal: Goal,
    arithmetic: Arithmetic,
    batch: int,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
    tiny: Path,
    begin: Path | None = None,
    naming: Naming | None = None,
) -> bool:
    """Train the student's U-Net, or go on from the state. True when the goal is reached.

    Args:
        latents: (N, 4, h, w) scaled. tokens: (N, wordings, 77) CLIP ids.
        base: the teacher, in diffusers layout.
        begin: a student of it, to begin from where there is no state yet, and to which it is held where it is shown renders;
            None: the teacher, and it learns from renders as from all else.
        naming: what says whether its pictures show what was asked; None: nothing does.
        tiny: a tiny autoencoder of the teacher's latents, by which the judge sees them where it is the adversary's eyes.
    """
    torch.manual_seed(SEED)
    teacher = Teacher.open(base, arithmetic)
    before = None if begin is None else Teacher.open(begin, arithmetic).unet
    student = copy.deepcopy(teacher.unet).requires_grad_(True)
    if before is not None:
        try:
            student.load_state_dict(before.state_dict())
        except RuntimeError as error:
            raise StartError(f"{begin} is no student of {base}: its U-Net has another shape.") from error
    rate = RATE if before is None else ON_RATE
    learner = Learner({"unet": student}, list(student.parameters()), rate, AVERAGE_RATE, warm_steps=50)
    unasked = teacher.context(np.asarray([padded([])]))
    features = _features(how.features, teacher, arithmetic, tiny)
    with torch.no_grad():
        probe = features.maps(torch.zeros(1, *latents.shape[1:], device=arithmetic.device), unasked, torch.Generator())
    critic = Critic(probe, 0 if "text" in how.without else unasked.shape[-1])
    if (state := read_state(state_file)) is not None:
        learner.load(state)
        critic.load(state["critic"])
    lessons = _Lessons(latents, tokens, batch, how, teacher, student, before, unasked, features, critic, naming, arithmetic)

    def save() -> None:
        write_state(state_file, learner.state() | {"critic": critic.state()})

    curve = state_file.with_suffix(".tsv")
    return learn(
        learner, goal, lessons.loss, batch, save=save, say=say, should_stop=should_stop, curve=curve, about=lessons.heard
    )


@dataclass(frozen=True)
class _Shown:
    """What a step's batch of B is asked and shown."""

    picked: NDArray[np.int64]
    """(B,) scenes."""
    wordings: NDArray[np.int64]
    """(B,) which of a scene's."""
    way: NDArray[np.int64]
    """(B,) NOISE, OWN or RENDER."""
    kinds: NDArray[np.int64]
    """(B,) places in TIMES."""
    z: Tensor
    """(B, 4, h, w) the scenes' own latents."""
    context: Tensor
    words: Tensor
    """(B, W) means of the context."""
    is_render: Tensor
    """(B,) 1.0 where a noised render is shown, and 0.0."""

    def where(self, rows: Tensor) -> tuple[Tensor, ...]:
        """z, context, words and is_render of some rows."""
        return self.z[rows], self.context[rows], self.words[rows], self.is_render[rows]


@dataclass(frozen=True)
class _Lessons:
    """What the student learns from, step by step. See train_turbo for the parts."""

    latents: NDArray
    tokens: NDArray
    batch: int
    how: Distillation
    teacher: Teacher
    student: UNet
    before: UNet | None
    """What it began from, when that was a student already."""
    unasked: Tensor
    """(1, 77, W) of no words."""
    features: Features
    critic: Critic
    naming: Naming | None
    arithmetic: Arithmetic
    _own: list[Tensor] = field(default_factory=list)
    """The adversary's losses since the last line."""

    def loss(self, step: int) -> Tensor:
        """Scalar; the adversary learns by the way."""
        rng, generator = draws(SEED, step)
        shown = self._shown(rng)
        t = torch.from_numpy(np.asarray(TIMES)[shown.kinds]).to(shown.z.device)
        x = self._noised(shown, t, generator)
        with self.arithmetic():
            drawn = self.teacher.clean(self.student, x, t, shown.context)
        learns = torch.ones_like(t, dtype=torch.bool) if self.before is None else shown.is_render == 0
        total = torch.zeros_like(shown.is_render)
        if learns.any():
            total[learns] = self._both(rng, generator, drawn[learns], *shown.where(learns))
        if self.before is not None and not learns.all():
            with torch.no_grad(), self.arithmetic():
                was = self.teacher.clean(self.before, x[~learns], t[~learns], shown.context[~learns])
            total[~learns] = HELD * (drawn[~learns] - was).pow(2).mean((1, 2, 3))
        total = total * evenly(self.teacher.alphas[t])
        if self.naming is not None:
            named = self.naming(drawn, shown.picked, shown.wordings, self.teacher.alphas, rng, generator)
            total = total + NAMING * (1 - shown.is_render) * named
        return total.mean()

    def heard(self) -> str:
        """How the adversary did since it was last asked."""
        words = f"loss of the adversary {torch.stack(self._own).mean().item():.3f}" if self._own else ""
        self._own.clear()
        return words

    @torch.no_grad()
    def _shown(self, rng: np.random.Generator) -> _Shown:
        batch, device = self.batch, self.arithmetic.device
        picked = rng.integers(0, len(self.latents), batch)
        wordings = rng.integers(0, self.tokens.shape[1], batch)
        way = rng.choice(3, batch, p=np.asarray(WAYS) / sum(WAYS))
        own = rng.choice(3, batch, p=np.asarray(OWN_OFTEN) / sum(OWN_OFTEN))
        kinds = np.where(way == NOISE, len(TIMES) - 1, np.where(way == OWN, own, rng.integers(0, 3, batch)))
        z = torch.from_numpy(self.latents[picked].astype(np.float32)).to(device)
        ids = self.tokens[picked, wordings]
        context = self.teacher.context(ids)
        is_render = torch.from_numpy(way == RENDER).to(z)
        return _Shown(picked, wordings, way, kinds, z, context, _means(context, ids), is_render)

    @torch.no_grad()
    def _noised(self, shown: _Shown, t: Tensor, generator: torch.Generator) -> Tensor:
        """(B, 4, h, w) what the student is to take the noise from."""
        z, share = shown.z, self.teacher.share(t)
        noise = torch.randn(z.shape, generator=generator).to(z)
        x = shown.is_render[:, None, None, None] * share.sqrt() * z + (1 - share).sqrt() * noise
        walked = torch.from_numpy(shown.way == OWN).to(x.device)
        if walked.any():
            with self.arithmetic():
                of = shown.context[walked], shown.kinds[shown.way == OWN]
                x[walked] = walked_to(self.teacher, self.student, *of, z.shape[1:], generator)
        return x

    def _both(self, rng: np.random.Generator, generator: torch.Generator, drawn: Tensor, *of: Tensor) -> Tensor:
        """The two losses of the paper, (B,), of drawn latents (B, 4, h, w) and what they were shown (as in _Shown.where)."""
        z, context, words, is_render = of
        total = torch.zeros_like(is_render)
        if "adversarial" not in self.how.without:
            is_told = "text" not in self.how.without
            told = context if is_told else self.unasked.expand(len(drawn), -1, -1)
            score, own = _opposed(self.critic, self.features, drawn, z, told, words, is_render, generator, is_told)
            self._own.append(own)
            total = total - score
        if "distillation" not in self.how.without:
            noise = torch.randn(z.shape, generator=generator).to(z)
            at = self.how.guidance, noise, rng, self.arithmetic
            total = total + DISTILLATION * _distance(self.teacher, drawn, context, self.unasked, *at)
        return total


@torch.no_grad()
def walked_to(
    teacher: Teacher, student: UNet, context: Tensor, kinds: NDArray[np.int64], shape: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Noised latents (B, 4, h, w) as the student's own walks from pure noise have them at the times (B,) of TIMES, by the steps
    of its row's sampler (Euler a: Karras et al. 2022, arXiv:2206.00364, with noise)."""
    first = torch.full((len(kinds),), TIMES[-1], device=teacher.alphas.device)
    x = (1 - teacher.share(first)).sqrt() * torch.randn((len(kinds), *shape), generator=generator).to(context)
    for kind in reversed(range(len(TIMES) - 1)):
        on = torch.from_numpy(kinds <= kind).to(x.device)
        if not on.any():
            break
        time, next_time = TIMES[kind + 1], TIMES[kind]
        clean = teacher.clean(student, x[on], torch.full((int(on.sum()),), time, device=x.device), context[on])
        sigma, to = teacher.sigma(time), teacher.sigma(next_time)
        up = (to**2 * (sigma**2 - to**2) / sigma**2).sqrt()
        down = (to**2 - up**2).sqrt()
        y = x[on] / teacher.alphas[time].sqrt()
        y = clean + (y - clean) * (down / sigma) + up * torch.randn(clean.shape, generator=generator).to(x)
        x[on] = y * teacher.alphas[next_time].sqrt()
    return x


def _opposed(
    critic: Critic,
    features: Features,
    drawn: Tensor,
    real: Tensor,
    context: Tensor,
    words: Tensor,
    shown: Tensor,
    generator: torch.Generator,
    is_told: bool,
) -> tuple[Tensor, Tensor]:
    """One step of the adversary; then (B,) how real it takes the drawn latents for, and its own loss. Both sides are seen at
    the same levels with the same noise.

    Args:
        is_told: whether real pictures with other pictures' words are shown to it too.
    """
    same = generator.get_state()
    of_drawn = features.maps(drawn, context, generator)
    mistold = None
    with torch.no_grad():
        generator.set_state(same)
        of_real = features.maps(real, context, generator)
        if is_told:
            generator.set_state(same)
            mistold = features.maps(real, context.roll(1, 0), generator), words.roll(1, 0)
    own = critic.learn(of_real, of_drawn, words, shown, mistold)
    return critic.score(of_drawn, of_real, words, shown), own


def _features(name: str, teacher: Teacher, arithmetic: Arithmetic, tiny: Path) -> Features:
    if name == "teacher":
        return TeacherFeatures(teacher.unet, teacher.alphas, arithmetic)
    judge = load_toy_judge()
    decoder: Autoencoder = AutoencoderTiny.from_pretrained(tiny, torch_dtype=torch.float32, local_files_only=True)
    for network in (judge, decoder):
        arithmetic.put(network)
        nn.Module.requires_grad_(network, False)
    return JudgeFeatures(judge, decoder)


def _means(context: Tensor, ids: NDArray) -> Tensor:
    """(B, W) the mean over start, words and the first end."""
    heard = torch.from_numpy((ids == END).cumsum(1) <= 1).to(context)
    return (context * heard[:, :, None]).sum(1) / heard.sum(1, keepdim=True)


def _distance(
    teacher: Teacher,
    drawn: Tensor,
    context: Tensor,
    unasked: Tensor,
    guidance: float,
    noise: Tensor,
    rng: np.random.Generator,
    arithmetic: Arithmetic,
) -> Tensor:
    """The distillation loss (eq. 4), (B,): squared distance to what the teacher makes of the drawn latents, noised to a drawn
    time, with c(t) = alpha, so that the noisier the less it counts. Little noise is drawn more often, where the paper draws all
    times evenly: under much of it the teacher answers with the mean of what there could be, to which a student's one step is
    smeared; under less it says which of them is near."""
    times = rng.uniform(size=len(drawn)) ** AWAY_FROM_NOISE * (len(teacher.alphas) - 1)
    t = torch.from_numpy(1 + times.astype(np.int64)).clamp(max=len(teacher.alphas) - 1).to(drawn.device)
    share = teacher.share(t)
    with torch.no_grad():
        y = share.sqrt() * drawn + (1 - share).sqrt() * noise
        both = torch.cat([context, unasked.expand_as(context)])
        with arithmetic():
            asked, otherwise = teacher.clean(teacher.unet, y.repeat(2, 1, 1, 1), t.repeat(2), both).chunk(2)
        target = torch.lerp(otherwise, asked, guidance).clamp(-LARGEST, LARGEST)
    return (share.sqrt() * (drawn - target).pow(2)).mean((1, 2, 3))


def evenly(alphas: Tensor) -> Tensor:
    """Weights (B,) of a student's times. Where eps is predicted its error counts sigma-fold in the clean latents (14.6, 4.1, 1.6
    and 0.7 at the four times), so that pure noise would drown the others' gradient: sigma^(-1/2) leaves it half ahead."""
    return (alphas / (1 - alphas)) ** 0.25

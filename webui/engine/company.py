"""Jobs drawn side by side: their calls of the network at the same moment become one call.

Each journey from request to pictures is a greenlet of the one thread that computes: it runs until it asks the network, and
when all of them ask, those whose calls have one shape are answered by one call, although they are at different steps, prompts,
samplers and step counts. So a sampler is written as if it were alone, and no thread of its own has to compute (see
workspace/machine.py for what more threads cost).

Who is alone is answered by the very call that would be made without this, so its picture is the same bytes. In company the
network's kernels sum in another order, which moves a picture by less than 1e-4.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from greenlet import getcurrent, greenlet
from torch import Tensor, nn

from webui.contract.parts import Family

ROWS = 16
"""Of one call: beyond, a call takes as much longer as it has more."""
CELLS = 24 * 24
"""Latents up to which sharing pays on a processor: a call for two takes 0.8 of two calls at 16 x 16, 0.96 at 32 x 32."""
Joining = Callable[[], None]


def pays(device: torch.device, family: Family, width: int, height: int) -> bool:
    """Whether pictures of that size are sooner there together than one after the other."""
    return device.type != "cpu" or (width * height) // family.latent_factor**2 <= CELLS


def called(unet: nn.Module, seen: Tensor, t: Tensor, told: Mapping[str, Tensor]) -> Tensor:
    """One call of the network, shared with whoever asks at the same moment.

    Args:
        seen: (N, C, h, w). t: scalar or (N,). told: further inputs of the U-Net by name, each (N, ...).
    """
    one = getcurrent()
    if isinstance(one, _Journey) and one.parent is not None:
        return one.company.asked(one, _Call(unet, seen, t, told))
    return _answer(unet, seen, t, told)


def _answer(unet: nn.Module, seen: Tensor, t: Tensor, told: Mapping[str, Tensor]) -> Tensor:
    answer: Tensor = unet(seen, t, **told, return_dict=False)[0]
    return answer


@dataclass(eq=False)
class _Call:
    unet: nn.Module
    seen: Tensor
    t: Tensor
    told: Mapping[str, Tensor]
    answer: Tensor | None = None
    error: BaseException | None = None

    @property
    def rows(self) -> int:
        return self.seen.shape[0]

    @property
    def kind(self) -> Hashable:
        """Calls of one kind fit into one."""
        told = tuple((name, value.shape[1:], value.dtype) for name, value in sorted(self.told.items()))
        return id(self.unet), self.seen.shape[1:], self.seen.dtype, self.t.dtype, told


class _Journey(greenlet):
    """One on its way; greenlet's own words for it: run, switch, parent."""

    def __init__(self, company: Company, run: Callable[[], None], ended: Callable[[BaseException | None], None]) -> None:
        super().__init__(run)
        self.company, self.ended = company, ended
        self.call: _Call | None = None


@dataclass
class Company:
    """Journeys that go on side by side in the thread that calls run."""

    _journeys: list[_Journey] = field(default_factory=list)
    _most: int = ROWS
    """Rows of one call; fewer, once that many did not fit."""
    _told: tuple[list[Tensor], dict[str, Tensor]] = field(default_factory=lambda: ([], {}))
    """The last calls' further inputs, and what they are put together: from step to step they stay."""

    def __len__(self) -> int:
        """How many are on their way."""
        return len(self._journeys)

    def join(self, journey: Callable[[], None], ended: Callable[[BaseException | None], None]) -> None:
        """Let a journey begin with the next round.

        Args:
            ended: is told when it has, with what it raised.
        """
        self._journeys.append(_Journey(self, journey, ended))

    def run(self, joining: Joining = lambda: None) -> None:
        """Until all have ended.

        Args:
            joining: asked between two calls; may let others join.
        """
        while self._journeys:
            joining()
            for one in list(self._journeys):
                self._go_on(one)
            for calls in self._groups():
                self._answer(calls)
        self._told = [], {}

    def asked(self, one: _Journey, call: _Call) -> Tensor:
        """The answer to a journey's call, when the others have come to theirs."""
        one.call = call
        with torch.inference_mode(False):  # as it is in the others where this one goes on: the mode belongs to the thread
            one.parent.switch()
        one.call = None
        if call.error is not None:
            raise call.error
        assert call.answer is not None
        return call.answer

    def _go_on(self, one: _Journey) -> None:
        """Let it come to its next call, or to its end."""
        error: BaseException | None = None
        one.parent = getcurrent()
        try:
            one.switch()
        except BaseException as raised:  # noqa: BLE001 (handed to whoever let it join)
            error = raised
        if one.dead:
            self._journeys.remove(one)
            one.ended(error)

    def _groups(self) -> Iterator[list[_Call]]:
        kinds: dict[Hashable, list[_Call]] = {}
        for one in self._journeys:
            if one.call is not None:
                group = kinds.setdefault(one.call.kind, [])
                if group and sum(call.rows for call in group) + one.call.rows > self._most:
                    yield kinds.pop(one.call.kind)
                    group = kinds.setdefault(one.call.kind, [])
                group.append(one.call)
        yield from kinds.values()

    def _answer(self, calls: list[_Call]) -> None:
        if len(calls) > 1:
            try:
                for call, answer in zip(calls, self._together(calls), strict=True):
                    call.answer = answer
                return
            except Exception as error:  # noqa: BLE001 (whose it is, is found out one by one)
                self._told = [], {}
                if isinstance(error, torch.OutOfMemoryError):
                    self._most = max(1, sum(call.rows for call in calls) // 2)
        for call in calls:
            try:
                with torch.inference_mode():
                    call.answer = _answer(call.unet, call.seen, call.t, call.told)
            except Exception as error:  # noqa: BLE001 (raised where the call was made)
                call.error = error

    def _together(self, calls: list[_Call]) -> tuple[Tensor, ...]:
        """One call for several; each one's rows of the answer."""
        with torch.inference_mode():
            names = sorted(calls[0].told)
            parts = [call.told[name] for name in names for call in calls]
            before, told = self._told
            if len(before) != len(parts) or not all(map(operator.is_, before, parts)):
                told = {name: torch.cat([call.told[name] for call in calls]) for name in names}
                self._told = parts, told
            seen = torch.cat([call.seen for call in calls])
            t = torch.cat([call.t.expand(call.rows) for call in calls])
            is_last = calls[0].seen.is_contiguous(memory_format=torch.channels_last)
            seen = seen.contiguous(memory_format=torch.channels_last if is_last else torch.contiguous_format)
            return _answer(calls[0].unet, seen, t, told).split([call.rows for call in calls])

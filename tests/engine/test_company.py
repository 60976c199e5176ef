"""Jobs side by side: each is answered as if it were alone, by fewer calls of the network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from webui.checkpoints.families import POCKET
from webui.contract.errors import Interrupted
from webui.engine.company import ROWS, Company, called, pays


class Network(nn.Module):
    """Each row's answer depends on its own inputs alone, as a U-Net's does; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []
        self.most = 10_000

    def forward(self, seen: Tensor, t: Tensor, encoder_hidden_states: Tensor, return_dict: bool) -> tuple[Tensor]:
        assert not return_dict and torch.is_inference_mode_enabled()
        if len(seen) > self.most:
            raise torch.OutOfMemoryError("too many")
        self.calls.append(len(seen))
        words = encoder_hidden_states.mean((1, 2)).view(-1, 1, 1, 1)
        return (seen * words + t.expand(len(seen)).view(-1, 1, 1, 1),)


def journey(network: Network, steps: int, seed: int, into: dict[int, Tensor]) -> Callable[[], None]:
    def go() -> None:
        with torch.inference_mode():
            made = torch.Generator().manual_seed(seed)
            x, words = torch.randn(2, 4, 4, 4, generator=made), torch.randn(2, 77, 8, generator=made)
            for step in range(steps):
                x = x - 0.1 * called(network, x, torch.tensor(float(step)), {"encoder_hidden_states": words})
                assert torch.is_inference_mode_enabled()
            into[seed] = x

    return go


def alone(steps: int, seed: int) -> Tensor:
    made: dict[int, Tensor] = {}
    journey(Network(), steps, seed, made)()
    return made[seed]


def test_journeys_of_other_lengths_share_their_calls() -> None:
    network, made, company, ended = Network(), dict[int, Tensor](), Company(), list[BaseException | None]()
    for seed, steps in enumerate((3, 5, 8)):
        company.join(journey(network, steps, seed, made), ended.append)
    company.run()
    assert ended == [None] * 3 and not len(company)
    assert network.calls == [6, 6, 6, 4, 4, 2, 2, 2]
    for seed, steps in enumerate((3, 5, 8)):
        torch.testing.assert_close(made[seed], alone(steps, seed), rtol=0, atol=1e-6)
    assert not torch.is_inference_mode_enabled()


def test_who_is_alone_is_answered_as_without_company() -> None:
    network, made = Network(), dict[int, Tensor]()
    company = Company()
    company.join(journey(network, 4, 7, made), lambda error: None)
    company.run()
    assert network.calls == [2] * 4
    assert torch.equal(made[7], alone(4, 7))


def test_one_joins_on_the_way() -> None:
    network, made, company, rounds = Network(), dict[int, Tensor](), Company(), 0

    def joining() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            company.join(journey(network, 3, 1, made), lambda error: None)

    company.join(journey(network, 4, 0, made), lambda error: None)
    company.run(joining)
    assert network.calls == [2, 2, 4, 4, 2]
    torch.testing.assert_close(made[1], alone(3, 1), rtol=0, atol=1e-6)


def test_what_one_raises_ends_that_one() -> None:
    network, made, company = Network(), dict[int, Tensor](), Company()
    raised: list[BaseException | None] = []

    def stopped() -> None:
        with torch.inference_mode():
            called(network, torch.zeros(2, 4, 4, 4), torch.tensor(0.0), {"encoder_hidden_states": torch.zeros(2, 77, 8)})
            raise Interrupted

    company.join(stopped, raised.append)
    company.join(journey(network, 4, 3, made), lambda error: None)
    company.run()
    assert [type(one) for one in raised] == [Interrupted]
    torch.testing.assert_close(made[3], alone(4, 3), rtol=0, atol=1e-6)


def test_a_call_that_fails_together_is_made_one_by_one() -> None:
    network, made, company, ended = Network(), dict[int, Tensor](), Company(), list[BaseException | None]()
    network.most = 3
    for seed in (0, 1):
        company.join(journey(network, 2, seed, made), ended.append)
    company.run()
    assert ended == [None, None] and network.calls == [2] * 4
    assert torch.equal(made[0], alone(2, 0)) and torch.equal(made[1], alone(2, 1))


def test_what_did_not_fit_once_is_not_tried_again() -> None:
    network, made, company = Network(), dict[int, Tensor](), Company()
    tried: list[int] = []
    forward = network.forward

    def forwarded(seen: Tensor, *given: Tensor, **more: Tensor) -> tuple[Tensor]:
        tried.append(len(seen))
        return forward(seen, *given, **more)

    network.forward = forwarded  # type: ignore[method-assign, assignment]
    network.most = 5
    for seed in range(4):
        company.join(journey(network, 3, seed, made), lambda error: None)
    company.run()
    assert tried == [8, 2, 2, 2, 2, 4, 4, 4, 4]
    torch.testing.assert_close(made[2], alone(3, 2), rtol=0, atol=1e-6)


def test_an_error_of_the_network_is_raised_in_the_one_that_asked() -> None:
    network, made, company, ended = Network(), dict[int, Tensor](), Company(), list[BaseException | None]()
    network.most = 1
    company.join(journey(network, 2, 0, made), ended.append)
    company.run()
    assert [type(one) for one in ended] == [torch.OutOfMemoryError]


def test_calls_of_other_shapes_and_other_networks_stay_apart() -> None:
    one, other, company = Network(), Network(), Company()

    def asks(network: Network, side: int) -> Callable[[], None]:
        def go() -> None:
            with torch.inference_mode():
                answer = called(
                    network, torch.ones(2, 4, side, side), torch.tensor(1.0), {"encoder_hidden_states": torch.ones(2, 77, 8)}
                )
                assert answer.shape == (2, 4, side, side) and torch.equal(answer, torch.full_like(answer, 2.0))

        return go

    errors: list[BaseException | None] = []
    for network, side in ((one, 4), (one, 8), (other, 4), (one, 4)):
        company.join(asks(network, side), errors.append)
    company.run()
    assert errors == [None] * 4
    assert sorted(one.calls) == [2, 4] and other.calls == [2]


def test_a_call_has_at_most_so_many_rows() -> None:
    network, made, company = Network(), dict[int, Tensor](), Company()
    for seed in range(12):
        company.join(journey(network, 1, seed, made), lambda error: None)
    company.run()
    assert network.calls == [ROWS, 24 - ROWS]
    torch.testing.assert_close(made[11], alone(1, 11), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("device", "side", "it_pays"), [("cpu", 128, True), ("cpu", 512, False), ("cuda", 512, True)])
def test_where_it_pays(device: str, side: int, it_pays: bool) -> None:
    assert pays(torch.device(device), POCKET, side, side) is it_pays

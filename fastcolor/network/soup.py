"""One network of several: the mean of the weights of runs that started from the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from .unet import ColorUNet


def average(networks: Sequence[ColorUNet], names: Sequence[str] | None = None) -> ColorUNet:
    """``w = mean_i w_i``: a network with the mean of the weights, and of the statistics, of `networks`.

    Runs that start from the same weights and differ in seed or options end in one valley, and the mean of their ends
    is better on new photographs than any of them, at the cost of one. Of networks that were not trained from the same
    weights the mean is of no use.

    Parameters
    ----------
    networks : sequence of ColorUNet
        One or more, of one shape and with the same bins. How logits are decoded is that of the first.
    names : sequence of str, optional
        What errors call them; "networks[0]" and so on by default.

    Returns
    -------
    ColorUNet
        In eval mode, on the CPU.

    Raises
    ------
    ValueError
        If there is none, or two differ in shape or bins.

    References
    ----------
    Wortsman et al., "Model soups" (arXiv:2203.05482), the uniform soup.

    Examples
    --------
    >>> network = ColorUNet.from_pretrained("landscapes")
    >>> same = average([network, network])
    >>> all(torch.equal(a, b) for a, b in zip(same.parameters(), network.parameters()))
    True
    """
    if not networks:
        raise ValueError("networks: expected one or more, got none")
    first = networks[0]
    names = names or [f"networks[{number}]" for number in range(len(networks))]
    for name, other in zip(names, networks, strict=True):
        if differing := sorted(_shape(first) - _shape(other)):
            wanted, got = ({field: getattr(one.config, field) for field, _ in differing} for one in (first, other))
            raise ValueError(f"{name}: expected {wanted} as {names[0]} has, got {got}")
        if other.bins != first.bins:
            raise ValueError(f"{name}: expected the bins of {names[0]}, got others")
    mean = ColorUNet(first.config, first.bins)
    states = [network.state_dict() for network in networks]
    mean.load_state_dict({name: _mean([state[name] for state in states]) for name in states[0]})
    return mean.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _shape(network: ColorUNet) -> set[tuple[str, Any]]:
    """The configuration's fields and values without what is only about decoding."""
    decoding = {"temperature", "size", "doubt", "gain", "mirror"}
    return {(name, value) for name, value in asdict(network.config).items() if name not in decoding}


def _mean(values: list[torch.Tensor]) -> torch.Tensor:
    """In float64, so that the mean of equal weights is each of them; whole numbers are counts of the first."""
    if not values[0].is_floating_point():
        return values[0].cpu()
    return torch.stack([value.cpu().double() for value in values]).mean(0).to(values[0].dtype)

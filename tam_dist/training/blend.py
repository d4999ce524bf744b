"""Weights between others: ``python -m tam_dist.training.blend OUT WEIGHTS[=SHARE] WEIGHTS[=SHARE] …``.

The mean of several weight files of one network, each counted by its share (1 where none is given). A network that went on
learning from another lies in the same valley, so that weights between the two keep much of what each knows (Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022). ``python -m tam_dist.training.score`` tells which share is best.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

from tam_dist.errors import ConfigError, TamDistError, WeightsError
from tam_dist.models.xmem.network import XMem
from tam_dist.models.xmem.weights import load_network, save_network


def blend(networks: Sequence[XMem], shares: Sequence[float]) -> XMem:
    """A network like the first whose weights are the mean of all, weighted by ``shares``, which need not sum to 1.

    Raises :class:`WeightsError` where the networks are of different configurations, ValueError where the shares have no
    positive sum or are not as many.
    """
    if len(networks) != len(shares) or sum(shares) <= 0:
        raise ValueError(f"{len(networks)} networks cannot be blended by the shares {list(shares)}")
    first = networks[0]
    if any(other.config != first.config for other in networks[1:]):
        raise WeightsError("Weights of differently configured networks have no mean; give files of one network.")
    states = [network.state_dict() for network in networks]
    parts = [share / sum(shares) for share in shares]
    blended = XMem(first.config)
    blended.load_state_dict(
        {key: torch.stack([part * state[key] for part, state in zip(parts, states, strict=True)]).sum(0) for key in states[0]}
    )
    return blended.eval().requires_grad_(False)


def _asked(argument: str) -> tuple[str, float]:
    """
    >>> _asked("a.safetensors=0.3"), _asked("b.safetensors")
    (('a.safetensors', 0.3), ('b.safetensors', 1.0))
    """
    path, equals, share = argument.rpartition("=")
    if not equals:
        return argument, 1.0
    try:
        return path, float(share)
    except ValueError as error:
        raise ConfigError(f"In {argument!r}, {share!r} is no share; write WEIGHTS=0.5, say.") from error


def main(arguments: Sequence[str]) -> int:
    if len(arguments) < 3:
        sys.stderr.write("usage: python -m tam_dist.training.blend OUT WEIGHTS[=SHARE] WEIGHTS[=SHARE] …\n")
        return 2
    try:
        asked = [_asked(argument) for argument in arguments[1:]]
        if min(share for _, share in asked) < 0 or sum(share for _, share in asked) <= 0:
            raise ConfigError("Shares must not be negative, and one of them must be positive.")
        save_network(blend([load_network(path) for path, _ in asked], [share for _, share in asked]), arguments[0], half=True)
    except TamDistError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

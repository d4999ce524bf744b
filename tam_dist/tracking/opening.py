"""From settings to what tracking sessions need."""

from __future__ import annotations

from tam_dist.config import Config
from tam_dist.models.checkpoints import resolve
from tam_dist.models.runtime import configure_torch, encodes_ahead, precision_of
from tam_dist.models.xmem.weights import load_network
from tam_dist.tracking.quality.model import scorer_for
from tam_dist.tracking.session import Models


def open_models(config: Config) -> Models:
    """The configured XMem on the configured device, with the quality model that belongs to it.

    Raises :class:`WeightsError`, :class:`ResourceError`.
    """
    device = configure_torch(config.runtime)
    weights, precision = resolve(config.models.xmem, "xmem"), precision_of(config.runtime)
    network = precision.lay_out(load_network(weights, device))
    return Models(network, scorer_for(weights), device, precision, encodes_ahead(config.runtime, device))

"""Score weights on the held-out data: ``python -m tam_dist.training.score CONFIG WEIGHTS… data.cache=DIR [key=value …]``.

Prints one JSON line for each weight file: J of every held-out sequence, and on films of look-alikes J after the cut and the
share that goes on with the right one. For comparing checkpoints; evaluation data has its own command.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from tam_dist.errors import TamDistError
from tam_dist.models.xmem.weights import load_network
from tam_dist.training.xmem import load_held_out
from tam_dist.training.xmem_settings import load_settings
from tam_dist.training.xmem_validate import validate


def main(arguments: Sequence[str]) -> int:
    weights = [argument for argument in arguments[1:] if "=" not in argument]
    if not weights:
        sys.stderr.write("usage: python -m tam_dist.training.score CONFIG.yaml WEIGHTS… [key=value …]\n")
        return 2
    try:
        settings = load_settings(arguments[0], [argument for argument in arguments[1:] if "=" in argument])
        torch.set_num_threads(settings.threads)
        held_out = load_held_out(Path(settings.data.cache), settings.validation)
        for path in weights:
            scores = validate(load_network(Path(path)).float().eval(), held_out)
            sys.stdout.write(json.dumps({"weights": path} | {k: round(v, 4) for k, v in scores.items()}) + "\n")
    except TamDistError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

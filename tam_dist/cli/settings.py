"""``tam-dist config``: what the settings are, after presets and overrides."""

from __future__ import annotations

from tam_dist.cli.app import Json, Settings, app
from tam_dist.cli.output import result, result_json


@app.command("config")
def show_config(settings: Settings = None, as_json: Json = False) -> None:
    """Show every setting with the value it would have."""
    from omegaconf import OmegaConf

    from tam_dist.config import load_config, to_dict

    values = to_dict(load_config(settings or []))
    if as_json:
        result_json(values)
    else:
        result(OmegaConf.to_yaml(OmegaConf.create(values)).rstrip())

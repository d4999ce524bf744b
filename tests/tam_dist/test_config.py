"""Settings: defaults, presets, files, overrides, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tam_dist.config import from_dict, load_config, to_dict
from tam_dist.errors import ConfigError


def test_every_setting_has_a_default_of_its_type() -> None:
    tree = OmegaConf.structured(load_config())
    assert not OmegaConf.missing_keys(tree)


def test_a_preset_is_over_the_defaults_and_under_everything_else(tmp_path: Path) -> None:
    assert load_config().propagation.short_side == 256
    assert load_config(["models.preset=official"]).propagation.short_side == 480
    file = tmp_path / "own.yaml"
    file.write_text("models: {preset: official}\npropagation: {short_side: 360, mem_every: 8}\n")
    from_file = load_config(files=[str(file)])
    assert (from_file.models.sam, from_file.propagation.short_side) == ("sam_vit_h", 360)
    both = load_config(["propagation.short_side=300"], files=[str(file)])
    assert (both.propagation.short_side, both.propagation.mem_every) == (300, 8)


def test_the_last_override_of_a_key_counts() -> None:
    assert load_config(["propagation.mem_every=3", "propagation.mem_every=9"]).propagation.mem_every == 9


def test_what_a_project_keeps_is_read_back_the_same() -> None:
    config = load_config(["runtime.device=cpu", "propagation.long_term=false"])
    assert from_dict(to_dict(config)) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("propagation.mem_evry=10", r"no setting propagation\.mem_evry; did you mean propagation\.mem_every\?"),
        ("propagtion.mem_every=10", r"no setting propagtion; did you mean propagation\?"),
        ("zzzzz=1", r"no setting zzzzz; see configs/default\.yaml"),
        ("propagation.mem_every=often", r"setting propagation\.mem_every has a wrong value: .*often"),
        ("propagation.mem_every=0", r"propagation\.mem_every must be at least 1, not 0"),
        ("media.reader=ffmpeg", r"media\.reader must be one of auto, decord, pyav, not 'ffmpeg'"),
        ("runtime.autocast=fp8", r"runtime\.autocast must be one of none, bf16, fp16"),
        ("propagation.key_batch=3", r"propagation\.key_batch \(3\) must divide tracking\.chunk_size \(16\)"),
        ("propagation.min_working_frames=10", r"min_working_frames must be at least 2 and below"),
        ("propagation.max_long_term_elements=5", r"max_long_term_elements must be above"),
        ("models.preset=oficial", r"no models preset 'oficial'; there are: embedded, official"),
        ("propagation.mem_every", r"'propagation\.mem_every' is neither an option nor a setting"),
    ],
)
def test_a_wrong_setting_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load_config([override])
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read"):
        load_config(files=[str(tmp_path / "none.yaml")])


def test_a_stored_configuration_of_another_version_is_refused() -> None:
    stored = to_dict(load_config())
    stored["propagation"]["from_the_future"] = 1
    with pytest.raises(ConfigError, match="does not fit this version"):
        from_dict(stored)

"""Settings: defaults, presets, files, overrides, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tam_dist.config import deciding_settings, flat, from_dict, load_config, to_dict
from tam_dist.config_rules import BEFORE, RANGES
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
        ("propagation.mem_every=0", r"propagation\.mem_every must be a number from 1 to 1000000, not 0"),
        ("media.reader=ffmpeg", r"media\.reader must be one of auto, decord, pyav, not 'ffmpeg'"),
        ("runtime.precision=fp8", r"runtime\.precision must be one of auto, fp32, bf16, fp16"),
        ("propagation.key_batch=3", r"propagation\.key_batch \(3\) must divide tracking\.chunk_size \(16\)"),
        ("propagation.min_working_frames=20", r"min_working_frames must be at least 2 and below"),
        ("propagation.max_long_term_elements=5", r"max_long_term_elements must be above"),
        ("models.preset=oficial", r"no models preset 'oficial'; there are: embedded, official"),
        ("runtime.threads=100000", r"runtime\.threads must be a number from 0 to 1024, not 100000"),
        ("runtime.threads=-1", r"runtime\.threads must be a number from 0 to 1024, not -1"),
        ("cluster.gpus_per_refiner=nan", r"gpus_per_refiner must be a number from 0 to 1024, not nan"),
        ("cluster.gpus_per_propagator=-1", r"gpus_per_propagator must be a number from 0"),
        ("cluster.object_store_gb=inf", r"object_store_gb must be a number from 0 to 65536, not inf"),
        ("cluster.object_store_gb=1e30", r"object_store_gb must be a number from 0 to 65536, not 1e\+30"),
        ("propagation.short_side=1", r"short_side must be a number from 32 to 8192, not 1"),
        ("propagation.top_k=" + "9" * 400, r"top_k must be a number from 1 to 100000, not 9{37}\.\.\."),
        ("propagation.top_k=" + "9" * 5000, r"setting propagation\.top_k has a wrong value"),
        ("propagation.top_k=!!python/object:os.system x", r"setting propagation\.top_k has a wrong value: '!!python"),
        ("propagation.top_k=" + "[" * 3000, r"setting propagation\.top_k has a wrong value: '\[\["),
        ("propagation=3", r"setting propagation has a wrong value"),
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
    with pytest.raises(ConfigError, match=r"newer tam-dist, which had the setting propagation\.from_the_future: upgrade"):
        from_dict(stored)


def test_a_configuration_from_before_a_setting_gets_the_value_that_changes_nothing() -> None:
    stored = to_dict(load_config())
    for name in BEFORE:
        section, _, key = name.partition(".")
        stored[section].pop(key)
    found = flat(from_dict(stored))
    assert {name: found[name] for name in BEFORE} == dict(BEFORE)
    assert deciding_settings(from_dict(stored)).keys().isdisjoint(BEFORE)


def test_a_setting_that_is_no_more_is_dropped_where_nothing_changes_by_it() -> None:
    stored = to_dict(load_config())
    stored["runtime"]["autocast"] = "none"
    assert from_dict(stored) == load_config()
    assert stored["runtime"]["autocast"] == "none"  # what is given stays as it is
    stored["runtime"]["autocast"] = "bf16"
    with pytest.raises(ConfigError, match=r"made with runtime\.autocast=bf16, which this version does not have: go on with"):
        from_dict(stored)


def test_every_number_has_a_range_that_its_default_lies_in() -> None:
    settings = flat(load_config())
    numbers = {name for name, value in settings.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    assert set(RANGES) == numbers
    assert set(BEFORE) <= settings.keys()


@pytest.mark.parametrize("damage", [5, {"propagation": 3}, {"propagation": {"top_k": "many"}}])
def test_damaged_stored_settings_are_one_sentence(damage: object) -> None:
    with pytest.raises(ConfigError, match=r"stored in the project are damaged, .*: restore its project\.json") as raised:
        from_dict(damage)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)

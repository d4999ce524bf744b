"""Settings: typed, read from ``configs/*.yaml`` (the only place that holds defaults) and dotted overrides.

>>> load_config(["propagation.mem_every=10"]).propagation.mem_every
10
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, cast

import yaml  # type: ignore[import-untyped]
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tam_dist.config_rules import BEFORE, DECIDING, GONE, fault, shown, within
from tam_dist.errors import ConfigError


@dataclass
class ModelsConfig:
    """Which weights: "embedded", a registered name, or a file."""

    preset: str = MISSING
    xmem: str = MISSING
    sam: str = MISSING


@dataclass
class PropagationConfig:
    """XMem's inference settings (facts: XMem paper section 3.4 and the official evaluation defaults)."""

    short_side: int = MISSING
    enlarge: bool = MISSING
    key_batch: int = MISSING
    mem_every: int = MISSING
    deep_update_every: int = MISSING
    top_k: int = MISSING
    long_term: bool = MISSING
    min_working_frames: int = MISSING
    max_working_frames: int = MISSING
    num_prototypes: int = MISSING
    max_long_term_elements: int = MISSING
    max_permanent_frames: int = MISSING
    query_block: int = MISSING


@dataclass
class SegmentationConfig:
    embedding_cache: int = MISSING


@dataclass
class RefinementConfig:
    """Step 3: scoring masks, asking SAM about poor ones (:mod:`tam_dist.tracking.assessment`)."""

    mode: str = MISSING
    score: str = MISSING
    presence: bool = MISSING
    threshold: float = MISSING
    release: float = MISSING
    every: int = MISSING
    at_cuts: bool = MISSING
    max_share: float = MISSING
    margin: float = MISSING
    presence_margin: float = MISSING
    return_margin: float = MISSING


def refinement_off() -> RefinementConfig:
    """No step 3, and XMem's own confidence as the score: what projects do that were made before there was any."""
    section = "refinement."
    return RefinementConfig(**{key.removeprefix(section): value for key, value in BEFORE.items() if key.startswith(section)})


@dataclass
class TrackingConfig:
    chunk_size: int = MISSING
    checkpoint_every: int = MISSING
    keep_checkpoints: int = MISSING
    keep_bytes: int = MISSING
    direction: str = MISSING
    known_ahead: int = MISSING
    segments: str = MISSING
    max_segment: int = MISSING
    settled_frames: int = MISSING


@dataclass
class MediaConfig:
    reader: str = MISSING
    on_damage: str = MISSING


@dataclass
class CreditsConfig:
    decoded_chunks: int = MISSING
    writes: int = MISSING


@dataclass
class RuntimeConfig:
    device: str = MISSING
    threads: int = MISSING
    precision: str = MISSING
    encode_ahead: str = MISSING
    deterministic: bool = MISSING


@dataclass
class ClusterConfig:
    preset: str = MISSING
    propagators: int = MISSING
    gpus_per_propagator: float = MISSING
    refiners: int = MISSING
    gpus_per_refiner: float = MISSING
    decoders: int = MISSING
    writers: int = MISSING
    sessions_per_propagator: int = MISSING
    sam_beside_xmem: bool = MISSING
    max_deaths_per_chunk: int = MISSING
    object_store_gb: float = MISSING
    grow_seconds: float = MISSING


@dataclass
class Config:
    models: ModelsConfig = MISSING
    propagation: PropagationConfig = MISSING
    segmentation: SegmentationConfig = MISSING
    refinement: RefinementConfig = MISSING
    tracking: TrackingConfig = MISSING
    media: MediaConfig = MISSING
    credits: CreditsConfig = MISSING
    runtime: RuntimeConfig = MISSING
    cluster: ClusterConfig = MISSING


#: What YAML takes the bare words "on" and "off" for.
_YAML_SWITCH = {"True": "on", "False": "off"}


def load_config(overrides: Sequence[str] = (), *, files: Iterable[str] = ()) -> Config:
    """The defaults, the presets, then ``files`` (YAML paths), then ``overrides`` (``key.sub=value``), in that order.

    Raises :class:`ConfigError` naming the key, with the nearest existing one where it is unknown.
    """
    layers = [_read(path) for path in files]
    layers.append(_from_dotlist(overrides))
    default = _preset("default.yaml")
    chosen = OmegaConf.merge(default, *layers)
    layers[:0] = [_preset(f"{kind}/{OmegaConf.select(chosen, f'{kind}.preset')}.yaml") for kind in ("models", "cluster")]
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), default, *layers)
        config = cast(Config, OmegaConf.to_object(merged))
        config.refinement.mode = _YAML_SWITCH.get(config.refinement.mode, config.refinement.mode)
        config.runtime.encode_ahead = _YAML_SWITCH.get(config.runtime.encode_ahead, config.runtime.encode_ahead)
    except (OmegaConfBaseException, ValueError, OverflowError) as error:
        raise ConfigError(_explain(error, layers)) from error
    validate(config)
    return config


def validate(config: Config) -> None:
    """Raise :class:`ConfigError` where a value makes no sense, before anything is started with it."""
    for key, value in flat(config).items():
        sentence = fault(key, value)
        if sentence is not None:
            raise ConfigError(sentence)
    if 0 < config.tracking.max_segment < config.tracking.chunk_size:
        raise ConfigError(
            f"tracking.max_segment ({config.tracking.max_segment}) must be 0 or at least tracking.chunk_size "
            f"({config.tracking.chunk_size})."
        )
    p = config.propagation
    if config.tracking.chunk_size % p.key_batch:
        raise ConfigError(
            f"propagation.key_batch ({p.key_batch}) must divide tracking.chunk_size ({config.tracking.chunk_size})."
        )
    if not p.min_working_frames < p.max_working_frames:
        raise ConfigError("propagation.min_working_frames must be at least 2 and below propagation.max_working_frames.")
    if p.max_long_term_elements <= p.num_prototypes:
        raise ConfigError("propagation.max_long_term_elements must be above propagation.num_prototypes.")


def to_dict(config: Config) -> dict[str, Any]:
    """Plain nested dicts, as stored in a project's ``project.json``."""
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(config)))


def from_dict(data: dict[str, Any]) -> Config:
    """The inverse of :func:`to_dict`, also of what an earlier version stored: settings that it did not have get the value
    with which nothing changes (:data:`tam_dist.config_rules.BEFORE`), or else their default.

    Raises :class:`ConfigError` for a setting that this version does not have, or a value that is none or that it cannot
    have any more. Ranges are not checked: they may have grown narrower since.
    """
    default = _preset("default.yaml")
    before = OmegaConf.create()
    for name, value in BEFORE.items():
        OmegaConf.update(before, name, value)
    try:
        stored = _without_gone(OmegaConf.create(data))
        merged = OmegaConf.merge(OmegaConf.structured(Config), default, before, stored)
        return cast(Config, OmegaConf.to_object(merged))
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        given = _keys(OmegaConf.create(data)) if isinstance(data, dict) else []
        unknown = next((key for key in given if key not in _keys(default)), None)
        if unknown is not None:
            raise ConfigError(
                f"The project was made with a newer tam-dist, which had the setting {unknown}: upgrade tam-dist."
            ) from error
        reason = str(error).splitlines()[0]
        raise ConfigError(f"The settings stored in the project are damaged, {reason}: restore its project.json.") from error


def flat(config: Config) -> dict[str, Any]:
    """All settings by their dotted names."""
    return {f"{section}.{key}": value for section, keys in to_dict(config).items() for key, value in keys.items()}


def deciding_settings(config: Config) -> dict[str, Any]:
    """Those that decide the masks. One that changes nothing against the time before it existed is left out, so that a project's
    digest of them outlasts new versions.
    """
    chosen = {key: value for key, value in flat(config).items() if within(key, DECIDING)} | dict(GONE)
    return {key: value for key, value in chosen.items() if key not in BEFORE or value != BEFORE[key]}


def _without_gone(stored: DictConfig) -> DictConfig:
    for name, value in GONE.items():
        section, _, key = name.partition(".")
        found = OmegaConf.select(stored, name, default=value)
        if found != value:
            raise ConfigError(
                f"The project was made with {name}={found}, which this version does not have: go on with the tam-dist that "
                "made it, or start another project."
            )
        if section in stored:
            stored[section].pop(key, None)
    return stored


def given_settings(overrides: Sequence[str]) -> set[str]:
    """The dotted names that ``overrides`` set, presets included as what they are called."""
    return {item.partition("=")[0].strip() for item in overrides}


def _preset(name: str) -> DictConfig:
    source = resources.files("configs").joinpath(name)
    if not source.is_file():
        kind, _, stem = name.rpartition("/")
        known = sorted(p.name.removesuffix(".yaml") for p in resources.files("configs").joinpath(kind).iterdir())
        raise ConfigError(f"There is no {kind} preset {stem.removesuffix('.yaml')!r}; there are: {', '.join(known)}.")
    return cast(DictConfig, OmegaConf.create(source.read_text(encoding="utf-8")))


def _read(path: str) -> DictConfig:
    try:
        return cast(DictConfig, OmegaConf.load(path))
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"The configuration file {path} cannot be read: {reason}") from error


def _from_dotlist(overrides: Sequence[str]) -> DictConfig:
    for item in overrides:
        if "=" not in item:
            raise ConfigError(f"{item!r} is neither an option nor a setting; a setting looks like propagation.mem_every=10.")
    try:
        return OmegaConf.from_dotlist(list(overrides))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(_culprit(overrides)) from error


def _culprit(overrides: Sequence[str]) -> str:
    """Names the first override that cannot be read."""
    for item in overrides:
        try:
            OmegaConf.from_dotlist([item])
        except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError, RecursionError):
            key, _, value = item.partition("=")
            return f"The setting {key} has a wrong value: {shown(value)} is neither a number nor a plain word."
    return f"The settings {' '.join(map(shown, overrides))} contradict each other."


def _keys(node: DictConfig, prefix: str = "") -> list[str]:
    found = []
    for key in node:
        path = f"{prefix}{key!s}"
        value = node._get_node(key)
        found.append(path)
        if isinstance(value, DictConfig):
            found.extend(_keys(value, f"{path}."))
    return found


def _explain(error: Exception, layers: Sequence[DictConfig]) -> str:
    known = _keys(_preset("default.yaml"))
    for layer in layers:
        for key in _keys(layer):
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
                hint = f"; did you mean {near[0]}?" if near else "; see configs/default.yaml."
                return f"There is no setting {key}{hint}"
    default = _preset("default.yaml")
    for layer in layers:
        for section in layer:
            if section in default and not isinstance(layer._get_node(section), DictConfig):
                return f"The setting {section!s} has a wrong value: it is a section, give one of its settings."
    name = getattr(error, "full_key", None) or "given"
    return f"The setting {name} has a wrong value: {_short(str(error).splitlines()[0])}"


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}..."

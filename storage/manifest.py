"""``project.json``: what a project is about. Written once, and again only when an object is added."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
from fractions import Fraction
from typing import Any

from storage.location import Location
from tam_dist.errors import ProjectError, SchemaError
from tam_dist.types import TrackedObject, VideoInfo, chunk_count

SCHEMA_VERSION = 1
MANIFEST = "project.json"


@dataclass(frozen=True)
class ModelRecord:
    """A model's registered name or file, and the SHA-256 (hex) of its weights."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """``models`` by role ("xmem", "sam"); ``config`` is the resolved configuration as ``tam_dist.config.to_dict`` gives it.
    ``asked`` is how many prompts each object (by name) had when the project was made, so that a log which lost some is known.
    """

    source: VideoInfo
    chunk_size: int
    objects: tuple[TrackedObject, ...]
    models: Mapping[str, ModelRecord]
    config: Mapping[str, Any]
    schema_version: int = SCHEMA_VERSION
    asked: Mapping[str, int] = field(default_factory=dict)

    @property
    def frame_count(self) -> int:
        return self.source.frame_count

    @property
    def chunk_count(self) -> int:
        return chunk_count(self.frame_count, self.chunk_size)

    def chunk_frames(self, index: int) -> range:
        """The frames of chunk ``index``; the video's last chunk may be shorter."""
        return range(index * self.chunk_size, min((index + 1) * self.chunk_size, self.frame_count))

    def write(self, project: Location) -> None:
        """Raises :class:`StorageError`."""
        (project / MANIFEST).write(self.to_json().encode())

    @classmethod
    def read(cls, project: Location) -> Manifest:
        """Raises :class:`ProjectError` where there is no project, :class:`SchemaError` where it is newer or damaged."""
        data = (project / MANIFEST).read()
        if data is None:
            raise ProjectError(f"{project} is not a tam-dist project, it has no {MANIFEST}: check the path.")
        return cls.from_json(data, str(project / MANIFEST))

    def to_json(self) -> str:
        source = asdict(self.source) | {"fps": str(self.source.fps), "time_base": str(self.source.time_base)}
        fields = {
            "schema_version": self.schema_version,
            "source": source,
            "chunk_size": self.chunk_size,
            "objects": [asdict(o) for o in self.objects],
            "models": {role: asdict(model) for role, model in self.models.items()},
            "config": dict(self.config),
            "asked": dict(self.asked),
        }
        return json.dumps(fields, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Manifest:
        """``where`` names the file in the message of a :class:`SchemaError`."""
        try:
            fields = json.loads(text)
            version = int(fields["schema_version"])
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise _damaged(where, error) from error
        if version > SCHEMA_VERSION:
            raise SchemaError(
                f"{where} was written by a newer tam-dist (schema {version}, this one reads up to {SCHEMA_VERSION}): "
                "upgrade tam-dist."
            )
        try:
            source = dict(fields["source"])
            source |= {"fps": Fraction(source["fps"]), "time_base": Fraction(source["time_base"])}
            for name in ("frame_count", "width", "height"):
                if not isinstance(source[name], int) or not 0 < source[name] < 2**31:
                    raise ValueError(f"{name} is {str(source[name])[:40]}")
            unknown = sorted(source.keys() - {f.name for f in dataclass_fields(VideoInfo)})
            if unknown:
                raise SchemaError(
                    f"{where} was written by a newer tam-dist, which knows a video's {', '.join(unknown)}: upgrade tam-dist."
                )
            if not isinstance(fields["config"], dict):
                raise TypeError("config is no object")
            return cls(
                source=VideoInfo(**source),
                chunk_size=int(fields["chunk_size"]),
                objects=tuple(TrackedObject(o["id"], o["name"], tuple(o["colour"])) for o in fields["objects"]),
                models={role: ModelRecord(**model) for role, model in fields["models"].items()},
                config=fields["config"],
                schema_version=version,
                # Earlier versions did not say; each object was there because of a prompt.
                asked=fields["asked"] if "asked" in fields else {o["name"]: 1 for o in fields["objects"]},
            )
        except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, OverflowError) as error:
            raise _damaged(where, error) from error


def _damaged(where: str, error: Exception) -> SchemaError:
    reason = (str(error) or "unreadable").splitlines()[0][:120]
    return SchemaError(
        f"{where} is damaged ({type(error).__name__}: {reason}): restore it from a copy or start the project again."
    )

"""The arrays: layout on disk, whole shards, and one version of each shard for a reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.encoding import encode_labels
from storage.location import Location
from storage.masks import MaskStore, _runs
from storage.stores import SnapshotStore
from tam_dist.errors import ProjectError, SchemaError
from tam_dist.types import EncodedLabels

steady = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

T, H, W, CS, K = 10, 6, 8, 4, 2


def make(project: Location, objects: int = K) -> MaskStore:
    return MaskStore.create(project, (T, H, W), chunk_size=CS, objects=objects, pts=np.arange(T, dtype=np.int64) * 512)


def shard(labels: np.ndarray) -> EncodedLabels:
    return encode_labels(labels, CS)


def fill(store: MaskStore, value: int) -> None:
    for start in range(0, T, CS):
        n = min(CS, T - start)
        store.write(start, *whole(n, value))


def whole(n: int, value: int) -> tuple[EncodedLabels, np.ndarray, np.ndarray]:
    return shard(np.full((n, H, W), value, np.uint8)), np.full((n, K), value / 9, np.float32), np.full((n, K), 2, np.uint8)


def test_the_layout_is_plain_zarr_3_that_others_can_read(tmp_path: Path) -> None:
    store = make(Location.parse(tmp_path))
    fill(store, 1)
    group = zarr.open_group(str(tmp_path / "masks.zarr"), mode="r")
    assert group["labels"].shape == (T, H, W)
    assert group["labels"].dtype == np.uint8
    assert group["labels"].chunks == (1, H, W)
    assert group["labels"].shards == (CS, H, W)
    assert group["quality"].shape == group["origin"].shape == (T, K)
    assert group["pts"][:].tolist() == [512 * i for i in range(T)]
    assert (group["labels"][:] == 1).all()
    metadata = json.loads((tmp_path / "masks.zarr" / "labels" / "zarr.json").read_text())
    inner = metadata["codecs"][0]["configuration"]["codecs"]
    assert {"name": "zstd", "configuration": {"level": 3, "checksum": False}} in inner
    assert "consolidated_metadata" not in json.loads((tmp_path / "masks.zarr" / "zarr.json").read_text())
    files = sorted(p.relative_to(tmp_path / "masks.zarr").as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert files == [
        *[f"labels/c.{i}.0.0" for i in range(3)], "labels/zarr.json",
        *[f"origin/c.{i}.0" for i in range(3)], "origin/zarr.json",
        "pts/c.0", "pts/zarr.json",
        *[f"quality/c.{i}.0" for i in range(3)], "quality/zarr.json",
        "zarr.json",
    ]  # fmt: skip


@pytest.mark.parametrize(("frames", "columns"), [(CS, K), (T % CS, K), (CS, 300)])
def test_a_chunk_is_stored_as_zarr_would_store_it(tmp_path: Path, frames: int, columns: int) -> None:
    """Byte for byte, also the last one, which is short, and scores of more objects than one chunk has columns for."""
    store = make(Location.parse(tmp_path), columns)
    rng, start = np.random.default_rng(0), 0 if frames == CS else T - frames
    labels = rng.integers(0, K, (frames, H, W), np.uint8)
    quality, origin = rng.random((frames, columns), np.float32), rng.integers(0, 4, (frames, columns), np.uint8)
    stored = store.write(start, encode_labels(labels.astype(store.labels.dtype), CS), quality, origin)
    assert stored == store.stored_digest(start // CS)
    files = {p: p.read_bytes() for p in tmp_path.rglob(f"c.{start // CS}.*") if "pts" not in p.parts}
    assert len(files) == (3 if columns == K else 5)
    group = zarr.open_group(str(tmp_path / "masks.zarr"), mode="r+")
    for name, rows in (("labels", labels), ("quality", quality), ("origin", origin)):
        group[name].with_config({"write_empty_chunks": True})[start : start + frames] = rows
    assert {p: p.read_bytes() for p in files} == files


def test_a_shard_of_background_is_stored(project: Location) -> None:
    store = make(project)
    store.write(0, *whole(CS, 0))
    assert store.stored_chunks() == {0}


@steady
@given(st.data())
def test_reading_is_numpy_indexing(data: st.DataObject) -> None:
    global _STORE
    if _STORE is None:
        _STORE = make(Location.parse("memory://indexing/a"))
        for start in range(0, T, CS):
            n = min(CS, T - start)
            labels = np.arange(start, start + n, dtype=np.uint8)[:, None, None] * np.ones((1, H, W), np.uint8)
            _STORE.write(start, shard(labels), np.zeros((n, K), np.float32), np.zeros((n, K), np.uint8))
    expected = np.arange(T)[:, None, None] * np.ones((1, H, W))
    key = data.draw(st.slices(T) | st.integers(-T, T - 1) | st.lists(st.integers(-T, T - 1), max_size=5))
    found = _STORE.labels[key]
    assert np.array_equal(found, expected[np.asarray(key, int) if isinstance(key, list) else key])


_STORE: MaskStore | None = None


@steady
@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 7))
def test_runs_cover_the_frames_in_order_and_stay_inside_a_shard(frames: list[int], grid: int) -> None:
    runs = _runs(frames, grid)
    assert [f for first, last in runs for f in range(first, last)] == frames
    assert all((last - 1) // grid == first // grid for first, last in runs)


def test_a_frame_is_read_from_one_version_of_its_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer replaces the shard between the reader's request for its index and that for a frame."""
    store = make(Location.parse(tmp_path))
    rng = np.random.default_rng(0)
    old = rng.integers(0, 3, (CS, H, W)).astype(np.uint8)
    new = np.zeros((CS, H, W), np.uint8)  # compresses differently: every offset moves
    scores = whole(CS, 1)[1:]
    store.write(0, shard(old), *scores)
    reader = MaskStore(Location.parse(tmp_path), write=False)
    original = SnapshotStore.get
    gets = 0

    async def get(self: SnapshotStore, *args: object, **kwargs: object) -> object:
        nonlocal gets
        gets += 1
        if gets == 2:
            (tmp_path / "masks.zarr/labels/c.0.0.0").write_bytes(replacement)
        return await original(self, *args, **kwargs)  # type: ignore[arg-type]

    store.write(0, shard(new), *scores)
    replacement = (tmp_path / "masks.zarr/labels/c.0.0.0").read_bytes()
    store.write(0, shard(old), *scores)
    monkeypatch.setattr(SnapshotStore, "get", get)
    assert np.array_equal(reader.labels[2], old[2])
    assert gets == 2, "zarr no longer reads a frame in two requests: SnapshotStore may be unnecessary"
    assert np.array_equal(reader.labels[2], new[2])


@pytest.mark.parametrize("objects", [0, 1, 256, 257, 600])
def test_scores_are_decoded_as_zarr_does(tmp_path: Path, objects: int) -> None:
    store = make(Location.parse(tmp_path), objects)
    rng = np.random.default_rng(objects)
    for start in (0, 8):  # the chunk between is not written
        n = min(CS, T - start)
        origin = rng.integers(0, 6, (n, objects)).astype(np.uint8)
        store.write(start, shard(np.zeros((n, H, W), np.uint8)), rng.random((n, objects), np.float32), origin)
    group = zarr.open_group(str(tmp_path / "masks.zarr"), mode="r")
    for name, rows in (("quality", store.quality), ("origin", store.origin)):
        for frames in (slice(None), slice(3, 9), slice(5, 7), slice(9, 10), slice(4, 4)):
            expected = np.asarray(group[name][frames])
            assert rows[frames].dtype == expected.dtype
            assert np.array_equal(rows[frames], expected, equal_nan=name == "quality")
        assert np.array_equal(rows[9], group[name][9])


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: bytes(len(b))])
def test_damaged_scores_are_one_sentence(tmp_path: Path, damage: object) -> None:
    store = make(Location.parse(tmp_path))
    fill(store, 1)
    chunk = tmp_path / "masks.zarr/quality/c.1.0"
    chunk.write_bytes(damage(chunk.read_bytes()))  # type: ignore[operator]
    with pytest.raises(SchemaError, match=r"masks\.zarr failed, it is damaged .*run tam-dist resume\.$"):
        store.quality[:]


def test_growing_keeps_what_is_there(project: Location) -> None:
    store = make(project, objects=0)
    store.grow(2)
    fill(store, 1)
    store.grow(300 - 46)  # 254
    store.grow(3)  # never shrinks
    assert store.object_count == 254
    assert np.isnan(store.quality[:][:, 2:]).all()
    assert (store.quality[:][:, :2] == np.float32(1 / 9)).all()
    assert not store.origin[:][:, 2:].any()
    with pytest.raises(ProjectError, match="room for 254 objects, not 255"):
        store.grow(255)


def test_more_columns_than_one_chunk_of_scores_holds(project: Location) -> None:
    store = MaskStore.create(project, (T, H, W), chunk_size=CS, objects=600, pts=np.zeros(T, np.int64))
    quality = np.random.default_rng(0).random((CS, 600), np.float32)
    store.write(0, shard(np.zeros((CS, H, W), np.uint16)), quality, np.ones((CS, 600), np.uint8))
    assert np.array_equal(store.quality[:CS], quality)
    store.remove(frozenset({0}))
    assert store.stored_chunks() == frozenset()
    assert np.isnan(store.quality[:]).all()


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b[:2], lambda b: bytes(len(b)), lambda b: b[:-9] + bytes(9)]
)
def test_a_damaged_shard_is_one_sentence(tmp_path: Path, damage: object) -> None:
    store = make(Location.parse(tmp_path))
    fill(store, 1)
    shard = tmp_path / "masks.zarr/labels/c.1.0.0"
    shard.write_bytes(damage(shard.read_bytes()))  # type: ignore[operator]
    with pytest.raises(
        SchemaError, match=r"Reading frames 4 to 7 of .*masks\.zarr failed, it is damaged .*run tam-dist resume\.$"
    ):
        store.labels[:]
    assert (store.labels[:4] == 1).all()


def test_no_arrays(project: Location) -> None:
    with pytest.raises(SchemaError, match=r"masks\.zarr"):
        MaskStore(project, write=False)


def test_pts_must_fit(project: Location) -> None:
    with pytest.raises(ValueError, match="pts"):
        MaskStore.create(project, (T, H, W), chunk_size=CS, objects=K, pts=np.zeros(3, np.int64))


INDICES = st.one_of(
    st.integers(-18, 17),
    st.slices(18),
    st.lists(st.integers(-18, 17), max_size=6),
    st.lists(st.integers(-18, 17), max_size=6).map(lambda found: np.array(found, np.int32)),
    st.lists(st.booleans(), min_size=18, max_size=18),
    st.lists(st.booleans(), min_size=18, max_size=18).map(np.array),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[MaskStore, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, (18, 6, 8)).astype(np.uint8)
    quality = rng.random((18, 2), np.float32)
    location = Location.parse(tmp_path_factory.mktemp("filled"))
    store = MaskStore.create(location, labels.shape, chunk_size=4, objects=2, pts=np.arange(18))
    for start in range(0, 18, 4):
        rows = slice(start, start + 4)
        store.write(start, encode_labels(labels[rows], 4), quality[rows], np.ones((len(labels[rows]), 2), np.uint8))
    return store, labels, quality


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(index=INDICES)
def test_rows_are_chosen_as_numpy_chooses_them(filled: tuple[MaskStore, np.ndarray, np.ndarray], index: Any) -> None:
    store, labels, quality = filled
    as_array = np.array(index, np.int64) if isinstance(index, list) and not index else index
    assert np.array_equal(store.labels[index], labels[as_array])
    assert np.array_equal(store.quality[index], quality[as_array])


@pytest.mark.parametrize("index", [18, -19, [18], [True] * 17, np.zeros((2, 2), int), [0.5], "a", None, True])
def test_a_wrong_choice_of_rows_is_an_index_error(filled: tuple[MaskStore, np.ndarray, np.ndarray], index: Any) -> None:
    with pytest.raises(IndexError):
        filled[0].labels[index]


@pytest.mark.parametrize("array", ["labels", "quality", "origin"])
@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "{}", "[" * 5000, '{"shape": 1}', "shape", "codecs", "chunk_grid"])
def test_damaged_metadata_is_one_sentence(tmp_path: Path, array: str, damage: str) -> None:
    project = Location.parse(tmp_path)
    MaskStore.create(project, (4, 6, 8), chunk_size=4, objects=2, pts=np.arange(4))
    where = project / "masks.zarr" / array / "zarr.json"
    whole = json.loads(where.read() or b"")
    where.write((json.dumps({k: v for k, v in whole.items() if k != damage}) if damage in whole else damage).encode())
    with pytest.raises(SchemaError, match=r"masks\.zarr") as caught:
        getattr(MaskStore(project, write=False), array)[:]
    assert "\n" not in str(caught.value)

"""Round trips of every kind of prompt, undo, torn last lines, and many writers at once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.location import Location
from storage.prompt_log import LogEntry, PromptLog, Redo, Rename, Retrack, Undo, active, decode, encode
from tam_dist.errors import PromptError, SchemaError
from tam_dist.types import Absent, Box, Click, Clicks, Mask, Prompt, Purpose

steady = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5000)
clicks = st.lists(st.builds(Click, numbers, numbers, st.booleans()), min_size=1, max_size=4).map(lambda p: Clicks(tuple(p)))
data = (
    clicks
    | st.builds(Box, numbers, numbers, numbers, numbers)
    | st.builds(Mask, st.binary(max_size=60))
    | st.builds(Absent, st.integers(0, 99), st.integers(0, 99))
)
prompts = st.builds(
    Prompt,
    uuid=st.uuids().map(str),
    time=st.floats(0, 2e9),
    author=st.text(max_size=8),
    frame=st.integers(0, 10**6),
    object_name=st.text(max_size=8),
    data=data,
    undone_by=st.none() | st.uuids().map(str),
    purpose=st.sampled_from(get_args(Purpose)),
    group=st.just("") | st.uuids().map(str),
)
said = {"uuid": st.uuids().map(str), "time": st.floats(0, 2e9), "author": st.text(max_size=8)}
said |= {"group": st.just("") | st.uuids().map(str)}
frames = st.integers(0, 10**6)
entries_of_log = (
    prompts
    | st.builds(Undo, target=st.uuids().map(str), **said)
    | st.builds(Redo, target=st.uuids().map(str), **said)
    | st.builds(Rename, object_name=st.text(max_size=8), new_name=st.text(max_size=8), undone_by=st.none(), **said)
    | st.builds(Retrack, first=frames, last=frames, undone_by=st.none(), **said)
)


def prompt(uuid: str, frame: int = 0, time: float = 0.0) -> Prompt:
    return Prompt(uuid, time, "ann", frame, "cat", Clicks((Click(1, 2),)))


@steady
@given(entries_of_log)
def test_every_entry_survives_its_line(original: LogEntry) -> None:
    line = encode(original)
    assert "\n" not in line
    assert decode(line, "x") == original


def test_a_mask_survives_as_pixels() -> None:
    mask = np.random.default_rng(0).random((7, 9)) < 0.5
    found = decode(encode(replace(prompt("u"), data=Mask.from_array(mask))), "x")
    assert isinstance(found, Prompt)
    assert isinstance(found.data, Mask)
    assert np.array_equal(found.data.to_array(), mask)


def test_the_line_has_the_documented_fields() -> None:
    fields = json.loads(encode(prompt("u")))
    assert list(fields) == ["uuid", "time", "author", "frame", "object", "kind", "data", "undone_by", "crc"]


def test_a_plain_prompt_says_no_more_than_it_did() -> None:
    """A project of one version is read by the next, and by an earlier one where nothing newer is used."""
    assert encode(prompt("u")) == (
        '{"uuid":"u","time":0.0,"author":"ann","frame":0,"object":"cat","kind":"clicks","data":[[1,2,1]],'
        '"undone_by":null,"crc":"CRC"}'
    ).replace("CRC", json.loads(encode(prompt("u")))["crc"])
    fields = json.loads(encode(replace(prompt("u"), purpose="lock", group="g")))
    assert (fields["purpose"], fields["group"]) == ("lock", "g")


def test_the_last_undo_or_redo_of_an_entry_decides(project: Location) -> None:
    log = PromptLog(project)
    log.append([prompt("a"), Rename("n", 1, "ann", "cat", "tom"), Retrack("t", 2, "ann", 3, 9), Undo("1", 3, "bob", "a")])
    log.append([Undo("2", 4, "ann", "a"), Undo("3", 4, "ann", "n"), Undo("4", 4, "ann", "t")])
    assert [e.undone_by for e in log.entries()[:3]] == ["1", "3", "4"]  # type: ignore[union-attr]
    log.append([Redo("5", 5, "bob", "a"), Redo("6", 5, "bob", "t")])
    assert [e.undone_by for e in log.entries()[:3]] == [None, "3", None]  # type: ignore[union-attr]
    log.append([Undo("1", 3, "bob", "a"), Undo("7", 6, "ann", "t")])  # the first one arrives a second time
    assert [e.undone_by for e in log.entries()[:3]] == [None, "3", "7"]  # type: ignore[union-attr]
    assert [p.uuid for p in log.read()] == ["a"]


def test_what_is_appended_together_is_one_object_of_a_store_that_cannot_append() -> None:
    remote = Location.parse("memory://together/a")
    PromptLog(remote).append([prompt("a"), prompt("b"), Undo("c", 1, "ann", "a")])
    assert len((remote / "prompts").children()) == 1
    assert [p.undone_by for p in PromptLog(remote).read()] == ["c", None]


def test_append_undo_and_repeat(project: Location) -> None:
    log = PromptLog(project)
    assert log.read() == ()
    log.append([])
    log.append([prompt("a", 5), prompt("b", 2)])
    log.append([prompt("c", 2, time=-1), prompt("a", 5)])
    assert [p.uuid for p in log.read()] == ["a", "b", "c"]
    assert [p.uuid for p in active(log.read())] == ["c", "b", "a"]
    undo = log.undo("b", author="bob")
    assert [p.undone_by for p in PromptLog(project).read()] == [None, undo.uuid, None]
    assert [p.uuid for p in active(log.read())] == ["c", "a"]
    for gone in ("b", "never"):
        with pytest.raises(PromptError, match=f"no prompt {gone} in force"):
            log.undo(gone, author="bob")


@steady
@given(entries=st.lists(prompts, min_size=1, max_size=4, unique_by=lambda p: p.uuid), cut=st.integers(1, 400), late=prompts)
def test_a_torn_last_line_is_ignored_and_repaired(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Prompt], cut: int, late: Prompt
) -> None:
    project = Location.parse(tmp_path_factory.mktemp("log"))
    log = PromptLog(project)
    log.append(entries)
    file = project / "prompts.jsonl"
    whole = file.read()
    assert whole is not None
    last = len(whole.splitlines(keepends=True)[-1])
    torn = whole[: len(whole) - min(cut, last)]
    file.write(torn)
    kept = entries if torn.endswith(b"}") else entries[:-1]  # only the newline is missing: the entry is whole
    assert [p.uuid for p in log.read()] == [p.uuid for p in kept]
    log.append([late])
    assert [p.uuid for p in log.read()] == list(dict.fromkeys(p.uuid for p in (*kept, late)))
    repaired = file.read()
    assert repaired is not None
    assert all(json.loads(line) for line in repaired.splitlines())


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"kind":"clicks"}', encode(prompt("u")).replace("clicks", "lasso").encode(), b"\xff"]
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    project = Location.parse(tmp_path)
    log = PromptLog(project)
    log.append([prompt("a")])
    file = project / "prompts.jsonl"
    file.write((file.read() or b"") + line + b"\n")
    with pytest.raises(SchemaError, match=r"prompts\.jsonl line 2 is not a prompt"):
        log.read()


def test_a_project_copied_from_an_object_store_keeps_its_prompts(tmp_path: Path) -> None:
    remote = Location.parse("memory://copy/a")
    PromptLog(remote).append([prompt("a"), prompt("b")])
    local = Location.parse(tmp_path)
    for name in (remote / "prompts").children():
        (local / "prompts" / name).write((remote / "prompts" / name).read() or b"")
    log = PromptLog(local)
    log.append([prompt("c")])
    assert {p.uuid for p in log.read()} == {"a", "b", "c"}


def test_several_processes_append_without_loss(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom storage.location import Location\nfrom storage.prompt_log import PromptLog\n"
        "from tam_dist.types import Absent, Prompt\nlog = PromptLog(Location.parse(sys.argv[1]))\n"
        "for i in range(30): log.append([Prompt(f'{sys.argv[2]}-{i}', i, 'a', 0, 'cat', Absent(0, 1))])\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(n)]) for n in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert {p.uuid for p in PromptLog(Location.parse(tmp_path)).read()} == {f"{n}-{i}" for n in range(2) for i in range(30)}


@steady
@given(entry=prompts, at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_another_prompt(entry: Prompt, at: int, bit: int) -> None:
    line = bytearray(encode(entry).encode())
    line[at % len(line)] ^= 1 << bit
    try:
        found = decode(bytes(line), "x")
    except SchemaError:
        return
    assert found == entry  # as where only the case of an escape or the crc's own key changed


def test_a_log_of_an_earlier_version_is_read() -> None:
    line = encode(prompt("u"))
    fields = json.loads(line)
    del fields["crc"]
    assert decode(json.dumps(fields), "x") == prompt("u")


@pytest.mark.parametrize(
    "change", [{"frame": 10**400}, {"frame": -1}, {"frame": 1.5}, {"data": [[10**400, 1, 1]]}, {"time": "x"}]
)
def test_an_entry_that_makes_no_sense_is_named(change: dict[str, object]) -> None:
    fields = json.loads(encode(prompt("u"))) | change
    del fields["crc"]
    with pytest.raises(SchemaError, match=r"^x is not a prompt of this version") as caught:
        decode(json.dumps(fields), "x")
    assert len(str(caught.value)) < 300


def test_json_without_end_is_named() -> None:
    with pytest.raises(SchemaError, match="x is not a prompt"):
        decode("[" * 100_000, "x")

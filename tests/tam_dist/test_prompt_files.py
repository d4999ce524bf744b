"""Prompt files and label maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tam_dist.errors import PromptError
from tam_dist.prompt_files import from_entries, read_label_map, read_prompt_file
from tam_dist.types import Absent, Box, Click, Clicks, Mask


@pytest.fixture
def mask(tmp_path: Path) -> np.ndarray:
    """Also saved as masks/car.png."""
    array = np.zeros((48, 64), np.uint8)
    array[5:20, 7:30] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(array).save(tmp_path / "masks" / "car.png")
    return array > 0


def write(folder: Path, content: Any) -> Path:
    path = folder / "prompts.json"
    path.write_text(json.dumps(content))
    return path


def test_every_kind_of_entry(tmp_path: Path, mask: np.ndarray) -> None:
    path = write(
        tmp_path,
        [
            {"object": "cat", "frame": 0, "clicks": [[320, 240, 1], [10, 20.5, 0], [1, 2]]},
            {"object": "dog", "frame": 3, "box": [10, 20, 200, 180]},
            {"object": "car", "frame": 30, "mask": "masks/car.png"},
            {"object": "cat", "absent": [100, 140]},
        ],
    )
    cat, dog, car, gone = read_prompt_file(path)
    assert (cat.object_name, cat.frame) == ("cat", 0)
    assert cat.data == Clicks((Click(320, 240), Click(10, 20.5, positive=False), Click(1, 2)))
    assert (dog.frame, dog.data) == (3, Box(10, 20, 200, 180))
    assert isinstance(car.data, Mask)
    np.testing.assert_array_equal(car.data.to_array(), mask)
    assert (gone.frame, gone.data) == (100, Absent(100, 140))


def test_listed_objects_fix_the_order(tmp_path: Path) -> None:
    entries = [{"object": name, "frame": 0, "box": [0, 0, 1, 1]} for name in ("b", "a", "b")]
    path = write(tmp_path, {"objects": ["a", "b"], "prompts": entries})
    assert [p.object_name for p in read_prompt_file(path)] == ["a", "b", "b"]


CLICK = {"object": "cat", "frame": 0, "clicks": [[1, 2, 1]]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text", "must hold a list of prompts"),
        ({"promts": [CLICK]}, "unknown field 'promts'; did you mean 'prompts'"),
        ({"objects": ["cat", "cat"], "prompts": [CLICK]}, "two objects are named 'cat'"),
        (
            {"objects": ["cut"], "prompts": [CLICK]},
            "prompt 1, field \"object\": 'cat' is not among the objects; did you mean 'cut'",
        ),
        ({"objects": "cat", "prompts": [CLICK]}, 'field "objects": "cat" must be a list of names'),
        ([CLICK, 3], "prompt 2 must be an object with the fields"),
        ([CLICK, CLICK | {"frames": 3}], "prompt 2 has an unknown field 'frames'; did you mean 'frame'"),
        (
            [{"object": "cat", "frame": 0}],
            "prompt 1 must have exactly one of the fields clicks, box, mask, polygon, absent; it has none",
        ),
        ([CLICK | {"box": [1, 2, 3, 4]}], "it has clicks and box"),
        ([CLICK | {"object": 3}], 'prompt 1, field "object": 3 must be a name'),
        ([{"frame": 0, "clicks": [[1, 2]]}], 'field "object": null'),
        ([CLICK | {"object": " "}], "prompt 1, field \"object\": ' ' cannot name an object"),
        ([CLICK | {"frame": -1}], 'prompt 1, field "frame": -1 must be a frame number'),
        ([CLICK | {"frame": 1.5}], 'field "frame": 1.5'),
        ([CLICK | {"frame": True}], 'field "frame": true'),
        ([{"object": "cat", "clicks": [[1, 2]]}], 'field "frame": null'),
        ([CLICK | {"clicks": []}], 'prompt 1, field "clicks": \\[\\] must be a list of clicks'),
        ([CLICK | {"clicks": [[1, 2, 3]]}], 'field "clicks": \\[1, 2, 3\\] must be a click'),
        ([CLICK | {"clicks": [1, 2]}], 'field "clicks": 1 must be a click'),
        ([CLICK | {"clicks": [["1", 2]]}], "must be a click"),
        ([{"object": "a", "frame": 0, "box": [1, 2, 3]}], 'field "box": \\[1, 2, 3\\] must be four numbers'),
        ([{"object": "a", "frame": 0, "mask": "none.png"}], 'field "mask": the mask .*none.png does not exist'),
        ([{"object": "a", "frame": 0, "mask": "prompts.json"}], 'field "mask": the mask .*prompts.json is not a picture'),
        ([{"object": "a", "frame": 0, "mask": 3}], 'field "mask": 3 must be the path'),
        ([{"object": "a", "absent": [9, 3]}], 'field "absent": \\[9, 3\\] must be two frame numbers'),
    ],
)
def test_an_error_names_the_file_the_entry_and_the_field(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message) as raised:
        read_prompt_file(write(tmp_path, content))
    assert "prompts.json" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_missing_or_not_json(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="cannot be read"):
        read_prompt_file(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("[{]")
    with pytest.raises(PromptError, match=r"broken.json is not JSON: .*line 1"):
        read_prompt_file(tmp_path / "broken.json")
    (tmp_path / "latin.json").write_bytes(b'["\xe4"]')
    with pytest.raises(PromptError, match="is not JSON"):
        read_prompt_file(tmp_path / "latin.json")


def test_entries_of_a_corpus_line_name_their_line() -> None:
    with pytest.raises(PromptError, match=r'^corpus.jsonl line 7, prompt 1, field "frame"'):
        from_entries([CLICK | {"frame": None}], "corpus.jsonl line 7", Path())


def test_label_maps_of_every_picture_type_agree(tmp_path: Path) -> None:
    labels = np.zeros((6, 8), np.uint8)
    labels[:2], labels[4:] = 1, 2
    indexed = Image.fromarray(labels).convert("P")
    indexed.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    assert np.array_equal(np.asarray(indexed), labels)
    pictures = {
        "grey": Image.fromarray(labels),
        "indexed": indexed,
        "deep": Image.fromarray(labels.astype(np.uint16)),
        "colour": indexed.convert("RGB"),
        "alpha": indexed.convert("RGBA"),
    }
    names = {"colour": ["object-008000", "object-800000"], "alpha": ["object-008000", "object-800000"]}
    for kind, picture in pictures.items():
        picture.save(tmp_path / f"{kind}.png")
        prompts = read_label_map(tmp_path / f"{kind}.png", 5)
        assert [p.object_name for p in prompts] == names.get(kind, ["object-1", "object-2"]), kind
        masks = {p.object_name: p.data.to_array() for p in prompts if isinstance(p.data, Mask)}
        first = masks["object-800000" if kind in names else "object-1"]
        np.testing.assert_array_equal(first, labels == 1, err_msg=kind)


def test_sixteen_bit_label_maps_keep_their_values(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 300], [60000, 0]], np.uint16)).save(tmp_path / "deep.png")
    assert [p.object_name for p in read_label_map(tmp_path / "deep.png", 0)] == ["object-300", "object-60000"]


def test_transparent_pixels_are_background(tmp_path: Path) -> None:
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[:2, :, 3] = 0
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    (prompt,) = read_label_map(tmp_path / "a.png", 0)
    assert isinstance(prompt.data, Mask)
    assert prompt.data.to_array().sum() == 8


def test_a_label_map_without_objects_or_with_a_photographs_values(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "empty.png")
    with pytest.raises(PromptError, match=r"empty\.png is empty"):
        read_label_map(tmp_path / "empty.png", 0)
    Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)).save(tmp_path / "photo.png")
    with pytest.raises(PromptError, match="4095 different values"):
        read_label_map(tmp_path / "photo.png", 0)
    Image.effect_noise((64, 64), 9).save(tmp_path / "noise.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "noise.png").read_bytes()[:1000])
    with pytest.raises(PromptError, match="cannot be read"):
        read_label_map(tmp_path / "cut.png", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 3000 + "]" * 3000, "nested too deep"),
        ('[{"object": "cat", "frame": 0, "frame": 9, "clicks": [[1, 2]]}]', 'the field "frame" is there twice'),
        (f'[{{"object": "cat", "frame": {"9" * 400}, "clicks": [[1, 2]]}}]', "has 400 digits"),
        (f'[{{"object": "cat", "frame": {"9" * 90}, "clicks": [[1, 2]]}}]', "must be a frame number"),
        ('[{"object": "cat", "frame": 0, "clicks": [[1e999, 2]]}]', "too large"),
        ('[{"object": "cat", "frame": 0, "clicks": [[1e300, 2]]}]', "must be a click"),
        ('[{"object": "cat", "frame": 0, "clicks": [[NaN, 2]]}]', "NaN is no number"),
        ('[{"object": "c\\ud800t", "frame": 0, "clicks": [[1, 2]]}]', "cannot name an object"),
        ("\u00e9".encode("latin-1").decode("latin-1"), "is not JSON"),
    ],
)
def test_json_that_no_program_should_die_of(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(text, encoding="latin-1")
    with pytest.raises(PromptError, match=message):
        read_prompt_file(tmp_path / "prompts.json")


@pytest.mark.parametrize("name", ["map.jpg", "map.webp"])
def test_a_label_map_in_a_lossy_format_is_refused(name: str, tmp_path: Path) -> None:
    labels = np.zeros((48, 64), np.uint8)
    labels[5:20, 7:30], labels[30:40, 40:60] = 90, 200
    Image.fromarray(labels).save(tmp_path / name)
    with pytest.raises(PromptError, match=r"does not keep pixels exactly: save it as PNG"):
        read_label_map(tmp_path / name, 0)


def test_masks_and_labels_lie_where_the_prompts_do_in_an_object_store(mask: np.ndarray, tmp_path: Path) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe_file("/films/masks/car.png", (tmp_path / "masks" / "car.png").read_bytes())
    store.pipe_file("/films/prompts.json", b'[{"object": "car", "frame": 3, "mask": "masks/car.png"}]')
    for prompt in (
        *read_prompt_file("memory://films/prompts.json"),
        *from_entries([{"object": "car", "frame": 3, "mask": "masks/car.png"}], "corpus, line 1", "memory://films"),
        *read_label_map("memory://films/masks/car.png", 3),
    ):
        assert isinstance(prompt.data, Mask)
        np.testing.assert_array_equal(prompt.data.to_array(), mask)
    with pytest.raises(PromptError, match=r"memory://films/masks/lorry\.png does not exist"):
        from_entries([{"object": "car", "frame": 3, "mask": "masks/lorry.png"}], "corpus, line 1", "memory://films")

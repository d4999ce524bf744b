"""The command line's words for prompts, and the checks of prompts against a video."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tam_dist.errors import PromptError
from tam_dist.prompts import (
    already_asked,
    collect,
    colour_of,
    known_object,
    objects_of,
    parse_absent,
    parse_box,
    parse_click,
    parse_labels,
    same_intent,
    validate,
    validate_one,
)
from tam_dist.types import Absent, Box, Click, Clicks, Mask, Prompt, VideoInfo

VIDEO = VideoInfo(
    uri="film.mp4",
    frame_count=50,
    width=64,
    height=48,
    fps=Fraction(25),
    time_base=Fraction(1, 12800),
    rotation=0,
    fingerprint="1-2",
    reader="pyav",
)


def mask_prompt(mask: np.ndarray, name: str = "cat") -> Prompt:
    return replace(parse_click(f"{name}@0:1,1"), data=Mask.from_array(mask))


def test_a_click() -> None:
    prompt = parse_click(" black cat @7: 3.5 , 4")
    assert (prompt.object_name, prompt.frame, prompt.data) == ("black cat", 7, Clicks((Click(3.5, 4),)))


def test_a_name_may_hold_the_separators() -> None:
    assert parse_click("a@b:c@7:3,4").object_name == "a@b:c"


@given(st.integers(0, 10**6), st.floats(0, 1e5), st.floats(0, 1e5), st.booleans())
def test_any_click_survives_its_text_form(frame: int, x: float, y: float, positive: bool) -> None:
    prompt = parse_click(f"cat@{frame}:{x!r},{y!r},{'+' if positive else '-'}")
    assert (prompt.frame, prompt.data) == (frame, Clicks((Click(x, y, positive),)))


@pytest.mark.parametrize(
    "text",
    ["", "cat", "cat@0", "cat@0:", "cat@0:1", "cat@0:1,2,3", "cat@-1:1,2", "cat@x:1,2", "@0:1,2", "cat@0:nan,2", "cat@0:1,inf"],
)
def test_a_wrong_click_shows_the_right_form(text: str) -> None:
    with pytest.raises(PromptError, match=r"cat@0:320,240"):
        parse_click(text)


@pytest.mark.parametrize("name", [" ", "x" * 101, "two\nlines"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(PromptError, match="cannot name an object"):
        parse_click(f"{name}@0:1,2")


def test_a_box_and_an_absence() -> None:
    assert parse_box("dog@2:1,2,30,40").data == Box(1, 2, 30, 40)
    assert parse_absent("dog@5..9").data == Absent(5, 9)
    assert parse_absent("dog@5").data == Absent(5, 5)
    with pytest.raises(PromptError, match="x0,y0,x1,y1"):
        parse_box("dog@2:1,2,30")
    with pytest.raises(PromptError, match=r"cat@100\.\.140"):
        parse_absent("dog@5-9")


def test_a_label_map_gives_one_mask_for_each_value(tmp_path: Path) -> None:
    labels = np.zeros((48, 64), np.uint8)
    labels[:10], labels[20:30] = 7, 2
    Image.fromarray(labels).save(tmp_path / "first=1.png")
    two, seven = parse_labels(f"3={tmp_path / 'first=1.png'}")
    assert (two.object_name, seven.object_name, seven.frame) == ("object-2", "object-7", 3)
    assert isinstance(seven.data, Mask)
    np.testing.assert_array_equal(seven.data.to_array(), labels == 7)


@pytest.mark.parametrize("text", ["first.png", "=first.png", "x=first.png", "3="])
def test_a_wrong_label_map_option_shows_the_right_form(text: str) -> None:
    with pytest.raises(PromptError, match=r"0=first\.png"):
        parse_labels(text)


def test_prompts_given_together_keep_their_order_and_masks_come_first(tmp_path: Path) -> None:
    Image.fromarray(np.ones((48, 64), np.uint8)).save(tmp_path / "a.png")
    prompts = collect(clicks=["b@0:1,2", "a@0:3,4"], boxes=["c@0:1,2,3,4"], labels=[f"0={tmp_path / 'a.png'}"])
    assert [p.object_name for p in prompts] == ["object-1", "c", "b", "a"]
    times = [p.time for p in prompts]
    assert times == sorted(set(times))


def test_two_objects_of_one_frame_cannot_share_a_name(tmp_path: Path) -> None:
    Image.fromarray(np.ones((48, 64), np.uint8)).save(tmp_path / "a.png")
    labels = [f"0={tmp_path / 'a.png'}"]
    with pytest.raises(PromptError, match=r"Two objects on frame 0 are named 'object-1'"):
        collect(labels=labels, clicks=["object-1@0:1,2"])
    with pytest.raises(PromptError, match=r"Two label maps for frame 0 both have an object named 'object-1'"):
        collect(labels=labels * 2)
    assert len(collect(labels=labels, clicks=["object-1@9:1,2"])) == 2  # a correction of the same object


def test_objects_are_numbered_by_first_mention_and_look_different() -> None:
    objects = objects_of([parse_click("dog@4:1,2"), parse_click("cat@0:1,2"), parse_click("dog@0:1,2")])
    assert [(o.id, o.name) for o in objects] == [(1, "dog"), (2, "cat")]
    assert len({colour_of(i) for i in range(1, 301)}) == 300


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (parse_click("cat@50:1,2"), r"click for 'cat' on frame 50 is outside the frames 0\.\.49 of film\.mp4"),
        (parse_click("cat@0:64,2"), r"click 64,2 for 'cat' on frame 0 is outside the picture of film\.mp4, which is 64x48"),
        (parse_click("cat@0:-1,2"), r"click -1,2"),
        (parse_click("cat@0:1,48"), r"click 1,48"),
        (parse_box("cat@0:5,5,5,9"), r"box 5,5,5,9 for 'cat' on frame 0 is empty"),
        (parse_box("cat@0:9,9,5,5"), "is empty"),
        (parse_box("cat@0:5,5,65,9"), "reaches outside the picture"),
        (parse_absent("cat@9..5"), r"absence 9\.\.5 of 'cat' is not a range"),
        (parse_absent("cat@9..50"), r"0\.\.49"),
        (mask_prompt(np.ones((64, 48), bool)), r"mask for 'cat' on frame 0 is 48x64 but the picture of film\.mp4"),
        (mask_prompt(np.zeros((48, 64), bool)), "is empty"),
    ],
)
def test_a_prompt_that_does_not_fit_the_video_is_named(prompt: Prompt, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        validate_one(prompt, VIDEO)


def test_prompts_at_the_edges_fit() -> None:
    mask = mask_prompt(np.eye(48, 64, dtype=bool))
    validate([parse_click("cat@49:63,47"), parse_box("cat@0:0,0,64,48"), parse_absent("cat@1..48"), mask], VIDEO)


def test_nothing_asked_for_is_refused() -> None:
    with pytest.raises(PromptError, match="at least one --click"):
        validate([], VIDEO)


@pytest.mark.parametrize("prompts", [["cat@0:1,2,-"], []])
def test_an_object_that_is_never_shown_is_refused(prompts: list[str]) -> None:
    given_prompts = [*map(parse_click, prompts), parse_absent("cat@3..4"), parse_click("dog@0:1,2")]
    with pytest.raises(PromptError, match="'cat' has only negative clicks or absences"):
        validate(given_prompts, VIDEO)


@pytest.mark.parametrize(
    ("clicks", "absences", "message"),
    [
        (["cat@3:1,2"], ["cat@0..20", "cat@21..49"], r"'cat' is declared absent in all of film\.mp4"),
        (["cat@3:1,2"], ["cat@2..4"], "'cat' is shown on frame 3 and declared absent there"),
        (["cat@3:1,2", "cat@9:1,2"], ["cat@3", "cat@9"], "'cat' is shown on frame 3 and declared absent there"),
        (["cat@2:1,2,-", "cat@3:1,2"], [], "on frame 2, is a click beside it.*begin at frame 3"),
        ([f"cat@3:{n % 60},2" for n in range(101)], [], "'cat' has 101 clicks on frame 3: give at most 100"),
    ],
)
def test_prompts_that_contradict_each_other_are_refused(clicks: list[str], absences: list[str], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        validate([*map(parse_click, clicks), *map(parse_absent, absences)], VIDEO)


def test_prompts_that_only_seem_to_contradict_each_other_are_taken() -> None:
    clicks = [
        *("cat@3:1,2,-", "cat@3:5,5"),  # the first one given is beside it, but not the only one on that frame
        *("dog@3:1,2", "dog@9:1,2"),
        *(f"owl@{frame}:1,{y}" for frame in (3, 4) for y in range(40)),
    ]
    absences = ["cat@0..2", "cat@4..49", "dog@9", "dog@10..49"]
    validate([*map(parse_click, clicks), *map(parse_absent, absences)], VIDEO)


@pytest.mark.parametrize("text", ["cat@" + "9" * 5000 + ":1,2", "cat@²:1,2"])
def test_a_frame_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PromptError, match="is not of the form"):
        parse_click(text)


def test_an_unknown_object_names_the_nearest() -> None:
    objects = objects_of([parse_click("rabbit@0:1,2"), parse_click("butterfly@0:1,2")])
    assert known_object("rabbit", objects).id == 1
    with pytest.raises(PromptError, match="did you mean 'rabbit'"):
        known_object("rabit", objects)
    with pytest.raises(PromptError, match="it has 'rabbit', 'butterfly'"):
        known_object("zzz", objects)


def test_the_same_wish_at_another_time_by_another_person_in_another_order() -> None:
    mask = mask_prompt(np.eye(48, 64, dtype=bool))
    one = [parse_click("cat@0:1,2"), parse_box("cat@0:1,2,3,4"), mask]
    other = [replace(p, uuid="x", time=0, author="bob") for p in reversed(one)]
    assert same_intent(one, other)
    assert not same_intent(one, other[1:])
    assert not same_intent(one, [*other, parse_click("cat@0:1,2")])
    assert not same_intent(one, [replace(p, frame=1) for p in other])
    assert not same_intent([mask], [mask_prompt(np.ones((48, 64), bool))])


def test_what_was_taken_back_does_not_count() -> None:
    click, taken_back = parse_click("cat@0:1,2"), replace(parse_click("cat@0:9,9"), undone_by="u")
    assert same_intent([click], [click, taken_back])
    assert not already_asked([parse_click("cat@0:9,9")], [click, taken_back])


def test_a_corrected_project_still_has_what_was_asked_first() -> None:
    first, correction = parse_click("cat@0:1,2"), parse_click("cat@9:1,2")
    assert already_asked([parse_click("cat@0:1,2")], [first, correction])
    assert not already_asked([parse_click("cat@0:2,2")], [first, correction])

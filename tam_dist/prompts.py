"""What a person asks for, from the command line's words to checked prompts. Prompt files: :mod:`tam_dist.prompt_files`."""

from __future__ import annotations

import colorsys
import difflib
import getpass
import math
import os
import re
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from storage.prompt_log import Rename
from tam_dist.errors import PromptError
from tam_dist.types import Absent, Box, Click, Clicks, Mask, Prompt, PromptData, TrackedObject, VideoInfo

MAX_NAME_LENGTH = 100
#: More on one object in one frame than anybody makes. Each is a round of SAM: 2,000 took 290 s in which nothing was shown.
MAX_CLICKS = 100
# Twelve digits at most: no video has more frames, and Python refuses to read numbers of some thousands.
_AT_FRAME = re.compile(r"(?P<name>.+)@(?P<frame>[0-9]{1,12}):(?P<rest>.*)", re.DOTALL)
_ABSENT = re.compile(r"(?P<name>.+)@(?P<first>[0-9]{1,12})(\.\.(?P<last>[0-9]{1,12}))?", re.DOTALL)
_FRAMES = re.compile(r"(?P<first>[0-9]{1,12})(\.\.(?P<last>[0-9]{1,12}))?")
_SIGNS = {"+": True, "-": False, "1": True, "0": False}
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
# Saturation and value; the fourth round of hues repeats the first pair, by then at hues between the earlier ones.
_SHADES = ((0.85, 1.0), (0.55, 1.0), (0.9, 0.7))


def new_prompt(frame: int, object_name: str, data: PromptData, *, author: str | None = None) -> Prompt:
    """A prompt given now. ``author`` defaults to the user's login name.

    Raises :class:`PromptError` where the name is empty, longer than 100 characters or holds control characters.
    """
    return Prompt(uuid.uuid4().hex, time.time(), author or login(), frame, checked_name(object_name), data)


def checked_name(name: str) -> str:
    """``name`` without surrounding blanks. Raises :class:`PromptError` where it cannot be an object's name."""
    stripped = name.strip()
    if not stripped or len(stripped) > MAX_NAME_LENGTH or not stripped.isprintable():
        raise PromptError(
            f"{name[:MAX_NAME_LENGTH]!r} cannot name an object: use 1 to {MAX_NAME_LENGTH} characters, without line breaks."
        )
    return stripped


# --- the command line's words ----------------------------------------------------------------------------------------


def parse_click(text: str) -> Prompt:
    """``name@frame:x,y``, followed by ``,-`` for a click beside the object.

    >>> parse_click("cat@12:10,20.5,-").data
    Clicks(points=(Click(x=10.0, y=20.5, positive=False),), kind='clicks')
    """
    name, frame, values = _split(text, "--click", "cat@0:320,240")
    sign = values.pop() if len(values) == 3 else "+"
    numbers = _numbers(values)
    if len(numbers) != 2 or sign not in _SIGNS:
        raise PromptError(f"--click {text!r} is not a click: write cat@0:320,240, or cat@0:320,240,- for a negative one.")
    return new_prompt(frame, name, Clicks((Click(numbers[0], numbers[1], _SIGNS[sign]),)))


def parse_box(text: str) -> Prompt:
    """``name@frame:x0,y0,x1,y1``.

    >>> parse_box("dog@0:5,6,70,80").data
    Box(x0=5.0, y0=6.0, x1=70.0, y1=80.0, kind='box')
    """
    name, frame, values = _split(text, "--box", "dog@0:10,20,200,180")
    numbers = _numbers(values)
    if len(numbers) != 4:
        raise PromptError(f"--box {text!r} is not a box: write dog@0:x0,y0,x1,y1 with four numbers.")
    return new_prompt(frame, name, Box(*numbers))


def parse_absent(text: str) -> Prompt:
    """``name@first..last``, both included, or ``name@frame``.

    >>> parse_absent("cat@100..140").data
    Absent(first=100, last=140, kind='absent')
    """
    match = _ABSENT.fullmatch(text)
    if match is None:
        raise PromptError(f"--absent {text!r} is not a range of frames: write cat@100..140.")
    first = int(match["first"])
    last = first if match["last"] is None else int(match["last"])
    return new_prompt(first, match["name"], Absent(first, last))


def parse_labels(text: str) -> list[Prompt]:
    """``frame=file.png``: every non-zero value of that label map is an object (see :mod:`tam_dist.prompt_files`)."""
    from tam_dist.prompt_files import read_label_map

    frame, separator, path = text.partition("=")
    if not separator or not re.fullmatch(r"[0-9]{1,12}", frame.strip()) or not path:
        raise PromptError(f"--labels {text!r} is not a label map: write 0=first.png, the frame's number and a PNG.")
    return read_label_map(path, int(frame))


def collect(
    *,
    clicks: Iterable[str] = (),
    boxes: Iterable[str] = (),
    labels: Iterable[str] = (),
    absences: Iterable[str] = (),
    files: Iterable[str | os.PathLike[str]] = (),
) -> list[Prompt]:
    """All prompts of one command, whole masks first, so that clicks on the same frame refine a mask and not the reverse.

    Raises :class:`PromptError` for what cannot be read, and where two objects would share a name.
    """
    from tam_dist.prompt_files import read_prompt_file

    mapped = [prompt for text in labels for prompt in parse_labels(text)]
    named = [prompt for path in files for prompt in read_prompt_file(path)]
    named += [*map(parse_box, boxes), *map(parse_click, clicks), *map(parse_absent, absences)]
    _refuse_shared_names(mapped, named)
    return in_given_order([*mapped, *named])


def in_given_order(prompts: Sequence[Prompt]) -> list[Prompt]:
    """``prompts`` with times a microsecond apart. Given at once they could share a time, and their order on a frame, which can
    decide a mask, would be up to their random uuids.
    """
    now = time.time()
    return [replace(prompt, time=now + i * 1e-6) for i, prompt in enumerate(prompts)]


# --- checks ----------------------------------------------------------------------------------------------------------


def objects_of(prompts: Iterable[Prompt]) -> tuple[TrackedObject, ...]:
    """The objects that ``prompts`` mention: ids from 1 by first mention, colours that are easy to tell apart.

    >>> [(o.id, o.name) for o in objects_of([parse_click("cat@9:1,2"), parse_absent("dog@0..5"), parse_click("cat@0:1,2")])]
    [(1, 'cat'), (2, 'dog')]
    """
    names = dict.fromkeys(prompt.object_name for prompt in prompts)
    return tuple(TrackedObject(i, name, colour_of(i)) for i, name in enumerate(names, 1))


def objects_in_log(known: Sequence[TrackedObject], log: Iterable[object]) -> tuple[TrackedObject, ...]:
    """``known`` and the objects that the prompts in ``log`` mention besides, numbered on in the order of the log."""
    names = dict.fromkeys(entry.object_name for entry in log if isinstance(entry, Prompt))
    new = [name for name in names if name not in {o.name for o in known}]
    return (*known, *(TrackedObject(i, name, colour_of(i)) for i, name in enumerate(new, len(known) + 1)))


def renamed(objects: Sequence[TrackedObject], log: Iterable[object]) -> tuple[TrackedObject, ...]:
    """``objects``, named as in ``log``, under the names that they go by now: those of the last renames that are in force."""
    names = {entry.object_name: entry.new_name for entry in log if isinstance(entry, Rename) and entry.undone_by is None}
    return tuple(replace(each, name=names.get(each.name, each.name)) for each in objects)


def colour_of(object_id: int) -> tuple[int, int, int]:
    """RGB 0..255: hues a golden section apart, so that each new one falls into the widest gap left, in three shades."""
    saturation, value = _SHADES[(object_id - 1) // 8 % len(_SHADES)]
    red, green, blue = colorsys.hsv_to_rgb((object_id - 1) * _GOLDEN_RATIO % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def validate(prompts: Sequence[Prompt], video: VideoInfo) -> None:
    """Raise :class:`PromptError` for the first prompt that does not fit the video, or where they say too little to track by.

    A project's first prompts must show every object, by a positive click, a box or a mask, on the first frame that they ask
    for it on, and must not say of all of these frames that it is absent there; later corrections are checked one by one
    with :func:`validate_one`.
    """
    if not prompts:
        raise PromptError(f"Nothing is asked for in {video.uri}: give at least one --click, --box, --labels or --prompts.")
    for prompt in prompts:
        validate_one(prompt, video)
    for name in dict.fromkeys(prompt.object_name for prompt in prompts):
        _validate_object(name, [prompt for prompt in prompts if prompt.object_name == name], video)


def check_clicks(name: str, frame: int, number: int) -> None:
    """Raise :class:`PromptError` where an object has more than :data:`MAX_CLICKS` on a frame."""
    if number > MAX_CLICKS:
        raise PromptError(
            f"Object {name!r} has {number:,} clicks on frame {frame}: give at most {MAX_CLICKS}, or its mask as a picture."
        )


def validate_one(prompt: Prompt, video: VideoInfo) -> None:
    """Raise :class:`PromptError` where ``prompt`` lies outside the video's frames or picture, or its mask has another size."""
    whose = f"{prompt.object_name!r} on frame {prompt.frame}"
    if not 0 <= prompt.frame < video.frame_count:
        raise PromptError(f"The {_noun(prompt.data)} for {whose} is outside {_frames_of(video)}: choose one of those.")
    match prompt.data:
        case Clicks(points):
            for point in points:
                if not (0 <= point.x < video.width and 0 <= point.y < video.height):
                    raise PromptError(f"The click {point.x:g},{point.y:g} for {whose} is outside {_picture_of(video)}.")
        case Box(x0, y0, x1, y1):
            if not (x0 < x1 and y0 < y1):
                raise PromptError(
                    f"The box {_box(prompt.data)} for {whose} is empty: write x0,y0,x1,y1 with x0 < x1 and y0 < y1."
                )
            if not (x0 >= 0 and y0 >= 0 and x1 <= video.width and y1 <= video.height):
                raise PromptError(f"The box {_box(prompt.data)} for {whose} reaches outside {_picture_of(video)}.")
        case Mask():
            _validate_mask(prompt.data, whose, video)
        case Absent(first, last):
            if not first <= last < video.frame_count:
                raise PromptError(
                    f"The absence {first}..{last} of {prompt.object_name!r} is not a range within {_frames_of(video)}."
                )


def known_object(name: str, objects: Sequence[TrackedObject]) -> TrackedObject:
    """The object of that name. Raises :class:`PromptError` that names the nearest one where there is none.

    >>> known_object("katze", objects_of([parse_click("cat@0:1,2"), parse_click("kate@0:1,2")]))
    Traceback (most recent call last):
    tam_dist.errors.PromptError: There is no object 'katze' in this project; did you mean 'kate'?
    """
    for tracked in objects:
        if tracked.name == name:
            return tracked
    names = [tracked.name for tracked in objects]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(map(repr, names))}."
    raise PromptError(f"There is no object {name!r} in this project{hint}")


def same_intent(one: Iterable[Prompt], other: Iterable[Prompt]) -> bool:
    """Whether both ask for the same, whoever gave it, when and in whatever order; prompts taken back do not count.

    >>> same_intent([parse_click("cat@0:1,2")], [parse_click("cat@0:1,2")])
    True
    """
    return not (_intent(one) - _intent(other)) and not (_intent(other) - _intent(one))


def already_asked(given: Iterable[Prompt], existing: Iterable[Prompt]) -> bool:
    """Whether all of ``given`` is among ``existing``, which may hold more: the corrections made since the first command."""
    return not (_intent(given) - _intent(existing))


def parse_frames(text: str) -> tuple[int, int]:
    """``first..last``, both included, or one frame.

    >>> parse_frames("100..140"), parse_frames("7")
    ((100, 140), (7, 7))
    """
    match = _FRAMES.fullmatch(text.strip())
    if match is None:
        raise PromptError(f"{text!r} is not a range of frames: write 100..140.")
    first = int(match["first"])
    return first, first if match["last"] is None else int(match["last"])


# --- small parts -----------------------------------------------------------------------------------------------------


def login() -> str:
    """The name under which this process's user gives prompts."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's numeric user without a passwd entry
        return "unknown"


def _split(text: str, option: str, example: str) -> tuple[str, int, list[str]]:
    match = _AT_FRAME.fullmatch(text)
    if match is None:
        raise PromptError(f"{option} {text!r} is not of the form {example}: the object's name, @, the frame's number, a colon.")
    return match["name"], int(match["frame"]), [part.strip() for part in match["rest"].split(",")]


def _numbers(parts: Sequence[str]) -> list[float]:
    """The finite numbers, or [] where a part is none."""
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _refuse_shared_names(mapped: Sequence[Prompt], named: Sequence[Prompt]) -> None:
    """On the same frame a label map's object and another prompt of its name must be two things; on another frame the second
    one is a correction of the first.
    """
    seen: set[tuple[str, int]] = set()
    for prompt in mapped:
        key = (prompt.object_name, prompt.frame)
        if key in seen:
            raise PromptError(f"Two label maps for frame {prompt.frame} both have an object named {prompt.object_name!r}.")
        seen.add(key)
    for prompt in named:
        if (prompt.object_name, prompt.frame) in seen:
            raise PromptError(
                f"Two objects on frame {prompt.frame} are named {prompt.object_name!r}, one of them in the label map: "
                f"give the other one another name."
            )


def _shows_object(data: PromptData) -> bool:
    match data:
        case Clicks(points):
            return any(point.positive for point in points)
        case Absent():
            return False
    return True


def _validate_object(name: str, prompts: Sequence[Prompt], video: VideoInfo) -> None:
    """What one object's prompts must say together."""
    marks = [prompt for prompt in prompts if not isinstance(prompt.data, Absent)]
    showing = {prompt.frame for prompt in marks if _shows_object(prompt.data)}
    if not showing:
        raise PromptError(f"Object {name!r} has only negative clicks or absences: add a click on it, a box or a mask.")
    first = min(prompt.frame for prompt in marks)
    if first not in showing:
        raise PromptError(
            f"The first prompt of object {name!r}, on frame {first}, is a click beside it: show it there too, "
            f"or begin at frame {min(showing)}."
        )
    absent = _spans(prompt.data for prompt in prompts if isinstance(prompt.data, Absent))
    if absent and absent[0][0] <= 0 and absent[0][1] >= video.frame_count - 1:
        raise PromptError(f"Object {name!r} is declared absent in all of {video.uri}: leave it out, or shorten the absence.")
    hidden = {frame for frame in showing if any(begin <= frame <= end for begin, end in absent)}
    if hidden == showing:
        frame = min(hidden)
        raise PromptError(
            f"Object {name!r} is shown on frame {frame} and declared absent there: shorten the absence, or show it elsewhere."
        )
    clicks = Counter(dict.fromkeys(showing, 0))
    for prompt in marks:
        clicks[prompt.frame] += len(prompt.data.points) if isinstance(prompt.data, Clicks) else 0
    frame, most = clicks.most_common(1)[0]
    check_clicks(name, frame, most)


def _spans(absences: Iterable[Absent]) -> list[tuple[int, int]]:
    """The absences in order, those that touch made one."""
    spans: list[tuple[int, int]] = []
    for each in sorted(absences, key=lambda absence: absence.first):
        if spans and each.first <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(spans[-1][1], each.last))
        else:
            spans.append((each.first, each.last))
    return spans


def _validate_mask(mask: Mask, whose: str, video: VideoInfo) -> None:
    array = mask.to_array()
    height, width = array.shape
    if (width, height) != (video.width, video.height):
        raise PromptError(f"The mask for {whose} is {width}x{height} but {_picture_of(video)}: give one of that size.")
    if not array.any():
        raise PromptError(f"The mask for {whose} is empty: mark the object's pixels with any value above 0.")


def _noun(data: PromptData) -> str:
    return {"clicks": "click", "absent": "absence"}.get(data.kind, data.kind)


def _box(box: Box) -> str:
    return f"{box.x0:g},{box.y0:g},{box.x1:g},{box.y1:g}"


def _frames_of(video: VideoInfo) -> str:
    return f"the frames 0..{video.frame_count - 1} of {video.uri}"


def _picture_of(video: VideoInfo) -> str:
    return f"the picture of {video.uri}, which is {video.width}x{video.height}"


def _intent(prompts: Iterable[Prompt]) -> Counter[tuple[int, str, object]]:
    return Counter((p.frame, p.object_name, _content(p.data)) for p in prompts if p.undone_by is None)


def _content(data: PromptData) -> object:
    """Equal for equal wishes: a mask's pixels rather than its PNG, whose bytes depend on the library that wrote it."""
    if isinstance(data, Mask):
        array = data.to_array()
        return array.shape, array.tobytes()
    return data

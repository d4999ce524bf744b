"""Changing what is asked for: prompts on tracked frames, objects that come, go or are called otherwise, frames tracked anew."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from storage.prompt_log import Rename, Retrack, Undo
from tam_dist.errors import PromptError
from tam_dist.prompts import check_clicks, checked_name, in_given_order, login, new_prompt, validate
from tam_dist.steering.asking import Acknowledged, Asking, Where
from tam_dist.steering.replacing import changed_by, check_still_shown, replaceable
from tam_dist.types import Absent, Clicks, Mask, Prompt


def correct(
    where: Where, prompts: Sequence[Prompt], *, replace_given: bool = False, seen: Mapping[int, int] | None = None
) -> Acknowledged:
    """Correct objects of the project at ``where`` (a folder or URL) by ``prompts``, which are one action.

    Clicks change the mask that is stored, where they are the first thing said of the object in that frame: it goes into the log
    before them, so that what was looked at and corrected stays so whatever is corrected elsewhere later.

    ``replace_given``: what was given for the same objects on the same frames before counts no more, but for the mask that
    clicks were to change; it comes back when this is undone. Else ``prompts`` are added to it. ``seen``: the revisions of
    the masks looked at, by frame; a correction of other masks than those is refused. Prompts that are in the log already
    change nothing.

    Raises :class:`PromptError` for an unknown object (naming the nearest), a prompt that does not fit the video, or a locked
    frame; :class:`StaleViewError`, :class:`ProjectError`, :class:`StorageError`.
    """
    if not prompts:
        raise PromptError("Nothing is corrected: give at least one click, box, mask or absence.")
    asking = Asking(where)
    repeated = asking.repeated(prompts)
    if repeated is not None:
        return repeated
    named = [replace(p, object_name=asking.name_in_log(p.object_name), purpose="correction") for p in prompts]
    asking.check_prompts(named)
    old = replaceable(asking.entries, {(p.object_name, p.frame) for p in named}) if replace_given else []
    _check_number_of_clicks([p for p in asking.prompts if p not in old], named, asking)
    check_still_shown(asking.prompts, old, named)
    asking.check_seen(seen, named)
    who = named[0].author
    instead = [Undo(uuid.uuid4().hex, 0.0, who, prompt.uuid) for prompt in old]
    # The new ones first: an undo behind them, in the same action, is known to replace.
    return asking.append([*_with_what_they_change(asking, named), *instead])


def add_object(where: Where, name: str, prompts: Sequence[Prompt]) -> Acknowledged:
    """Track another object, called ``name``, from ``prompts`` (whatever object these name), which must show it.

    Raises :class:`PromptError` where the project has, or had, an object of that name, :class:`ProjectError` where it has room
    for no more, and otherwise as :func:`correct`.
    """
    asking = Asking(where)
    repeated = asking.repeated(prompts)
    if repeated is not None:
        return repeated
    named = [replace(p, object_name=checked_name(name), purpose="prompt") for p in in_given_order(prompts)]
    _check_new_name(asking, checked_name(name))
    validate(named, asking.video)
    asking.store.check_room(len(asking.objects) + 1)
    return asking.append(named, uuid.uuid4().hex)


def remove_object(where: Where, name: str, frames: tuple[int, int] | None = None, *, author: str | None = None) -> Acknowledged:
    """Say that an object is not there in ``frames`` (first and last, both included), or nowhere. Raises as :func:`correct`."""
    asking = Asking(where)
    first, last = (0, asking.video.frame_count - 1) if frames is None else frames
    prompt = new_prompt(first, asking.name_in_log(name), Absent(first, last), author=author)
    asking.check_prompts([prompt])
    return asking.append([replace(prompt, purpose="correction")])


def rename_object(where: Where, old: str, new: str, *, author: str | None = None) -> Acknowledged:
    """Show an object under another name from now on; its masks stay. Raises :class:`PromptError` where another has the name."""
    asking = Asking(where)
    name = asking.name_in_log(old)
    new = checked_name(new)
    if new != name:  # it may have its first one back
        _check_new_name(asking, new)
    return asking.append([Rename(uuid.uuid4().hex, time.time(), author or login(), name, new)])


def retrack(where: Where, first: int, last: int, *, author: str | None = None) -> Acknowledged:
    """Ask for the masks of frames ``first`` to ``last``, both included, anew, with all that was said since they were made.

    Raises :class:`PromptError` where the video has no such frames.
    """
    asking = Asking(where)
    asking.check_frame(first)
    asking.check_frame(last)
    if last < first:
        raise PromptError(f"{first}..{last} are no frames: the first comes before the last.")
    return asking.append([Retrack(uuid.uuid4().hex, time.time(), author or login(), first, last)])


def _with_what_they_change(asking: Asking, prompts: Sequence[Prompt]) -> list[Prompt]:
    """Each object's stored mask before the first clicks on it."""
    marked = {(p.object_name, p.frame) for p in asking.prompts if not isinstance(p.data, Absent)}
    found: list[Prompt] = []
    for prompt in prompts:
        place = prompt.object_name, prompt.frame
        if isinstance(prompt.data, Clicks) and place not in marked:
            shown = asking.stored_mask(*place)
            if shown is not None:
                found.append(replace(prompt, uuid=changed_by(prompt), data=Mask.from_array(shown)))
        marked.add(place)
        found.append(prompt)
    return found


def _check_new_name(asking: Asking, name: str) -> None:
    if any(name == o.name for o in asking.shown):
        raise PromptError(f"There is an object {name!r} in this project: correct that one, or choose another name.")
    if any(name == o.name for o in asking.objects):
        raise PromptError(f"{name!r} was the first name of {asking.shown_name(name)!r}: choose another name.")


def _check_number_of_clicks(given: Sequence[Prompt], prompts: Sequence[Prompt], asking: Asking) -> None:
    clicks = Counter(dict.fromkeys([(p.object_name, p.frame) for p in prompts], 0))
    for prompt in (*given, *prompts):
        if isinstance(prompt.data, Clicks) and (prompt.object_name, prompt.frame) in clicks:
            clicks[prompt.object_name, prompt.frame] += len(prompt.data.points)
    for (name, frame), number in clicks.items():
        check_clicks(asking.shown_name(name), frame, number)

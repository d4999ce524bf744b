"""Commands on one video: demo, track, resume."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tam_dist.cli.app import (
    Absences,
    Address,
    Boxes,
    Clicks,
    Executor,
    Json,
    Labels,
    PromptFiles,
    Quiet,
    Settings,
    app,
)
from tam_dist.cli.notes import doubts
from tam_dist.cli.output import count, result, result_json, say

if TYPE_CHECKING:
    from tam_dist.config import Config
    from tam_dist.coordination.events import Listener
    from tam_dist.coordination.video import VideoJob
    from tam_dist.project import Project

#: On the rabbit's belly and ears where it stands in full view: from its nose in the first frame the mask takes the dark of the
#: burrow along.
DEMO_CLICKS = ("rabbit@119:440,330", "rabbit@119:435,90", "rabbit@119:370,145")


@app.command()
def track(
    video: Annotated[str, typer.Argument(help="A file, a folder of images, or a URL (s3://…).", metavar="VIDEO")],
    settings: Settings = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="The project: a folder or URL; default runs/<name of the video>.", metavar="FOLDER"),
    ] = None,
    click: Clicks = None,
    box: Boxes = None,
    labels: Labels = None,
    absent: Absences = None,
    prompts: PromptFiles = None,
    executor: Executor = "auto",
    address: Address = None,
    force: Annotated[bool, typer.Option("--force", help="Discard the masks of an existing project and start anew.")] = False,
    overlay: Annotated[bool, typer.Option(help="Also write overlay.mp4 and sheet.png into the project.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Track objects through a video, from clicks, boxes or masks on any frame. Run it again to continue."""
    from storage.location import Location
    from tam_dist.addresses import check_path
    from tam_dist.config import load_config
    from tam_dist.errors import ConfigError
    from tam_dist.monitoring.marks import refuse_foreign, refuse_run
    from tam_dist.preparation import prepare, settle
    from tam_dist.prompts import collect

    check_path(video, "The name of the video", ConfigError)
    where = default_project(video) if out is None else out
    refuse_run(Location.parse(where))
    refuse_foreign(Location.parse(where))
    config = settle(load_config(settings or []), None if force else where)
    asked = collect(clicks=click or (), boxes=box or (), labels=labels or (), absences=absent or (), files=prompts or ())
    job = prepare(video, asked, where, config, force=force)
    return _finish(job, config, executor, address, overlay=overlay, as_json=as_json, quiet=quiet)


@app.command()
def resume(
    project: Annotated[str, typer.Argument(help="The project's folder or URL.", metavar="PROJECT")],
    settings: Settings = None,
    video: Annotated[str | None, typer.Option(help="Where the project's video lies now.", metavar="PATH")] = None,
    executor: Executor = "auto",
    address: Address = None,
    overlay: Annotated[bool, typer.Option(help="Also write overlay.mp4 and sheet.png into the project.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Continue a project where its last run ended, and track again what was lost or damaged in it since.

    Settings that decide the masks are the project's own.
    """
    from tam_dist.preparation import continue_project

    job, config = continue_project(project, settings or [], video=video)
    return _finish(job, config, executor, address, overlay=overlay, as_json=as_json, quiet=quiet)


@app.command()
def demo(
    settings: Settings = None,
    out: Annotated[str, typer.Option("--out", "-o", help="The project's folder.", metavar="FOLDER")] = "demo-output",
    executor: Executor = "inline",
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Track the rabbit in a sample video with the embedded models: a project, overlay.mp4 and a contact sheet.

    An earlier demo at the same place is replaced.
    """
    from storage.project_store import ProjectStore
    from tam_dist.cli.sample import sample_video
    from tam_dist.project import Project

    video = str(sample_video())
    again = ProjectStore.exists(out) and Project.open(out).video.uri == video  # never another project
    clicks = " ".join(f"--click {click}" for click in DEMO_CLICKS)
    say(f"Tracking the rabbit both ways from clicks on it and its ears, {clicks}, in {video}")
    return track(
        video,
        settings,
        out=out,
        click=[*DEMO_CLICKS],
        executor=executor,
        force=again,
        overlay=True,
        as_json=as_json,
        quiet=quiet,
    )


def default_project(video: str) -> str:
    """Where the project of a video is kept that was not given a place.

    >>> default_project("films/cat.mp4"), default_project("s3://films/dog")
    ('runs/cat', 'runs/dog')
    """
    from tam_dist.addresses import absolute
    from tam_dist.corpus.names import plain_name

    return f"runs/{plain_name(absolute(video))}"


def _finish(
    job: VideoJob, config: Config, executor: str, address: str | None, *, overlay: bool, as_json: bool, quiet: bool
) -> int:
    """Run the job, show it, say where the results are."""
    from tam_dist.project import Project

    if overlay and "://" not in job.project:  # refused now rather than after hours of tracking
        from tam_dist.media.overlay import check_overlay

        check_overlay(Path(job.project) / "overlay.mp4", job.uri)
    start = time.monotonic()
    run_one(job, config, executor, address, quiet=quiet)
    seconds = time.monotonic() - start
    project = Project.open(job.project)
    files = _pictures(project) if overlay else {}
    summary = {
        "project": project.location,
        "frames": job.spec.frame_count,
        "objects": [o.name for o in project.objects],
        "seconds": round(seconds, 3),
        "fps": round(job.spec.frame_count / seconds, 2),
    }
    truncated = project.video.declared_frames
    if truncated is not None:
        say(f"note: {job.uri} is cut off: the {job.spec.frame_count} frames that are there of {truncated} were tracked")
    if project.video.note:
        say(f"note: {project.video.note}")
    found = list(doubts(project))
    for doubt in found:
        say(f"warning: {doubt}")
    if as_json:
        result_json({**summary, **files, "warnings": found})
        return 0
    sizes = f"{count(job.spec.frame_count, 'frame')}, {count(len(project.objects), 'object')}"
    result(f"{sizes}, {seconds:.1f} s, {summary['fps']:.1f} frames/s")
    result(f"project        {project.location}")
    for label, path in files.items():
        result(f"{label.replace('_', ' '):<14} {path}")
    return 0


def run_one(
    job: VideoJob, config: Config, executor: str, address: str | None, *, quiet: bool, listener: Listener | None = None
) -> None:
    """Track one video to its end, with progress at the terminal and in its project; ``listener`` hears of every event too.
    Raises what went wrong.
    """
    from tam_dist.api import chosen_executor, run_jobs
    from tam_dist.cli.display import VideoProgress
    from tam_dist.cli.interrupt import stop_on_interrupt
    from tam_dist.coordination.events import all_of
    from tam_dist.monitoring.monitor import watch_project

    name = chosen_executor(executor, 1, config, address)
    with (
        stop_on_interrupt() as stop,
        VideoProgress(Path(job.uri).stem, job.spec.frame_count, quiet=quiet) as progress,
        watch_project(job, config, name) as monitor,
    ):
        heard = all_of(progress, monitor, *([] if listener is None else [listener]))
        (outcome,) = run_jobs([job], config, name, listener=heard, stop=stop, address=address, requests=monitor.requests)
    outcome.raise_failure()


def _pictures(project: Project) -> dict[str, str]:
    """Write the overlay video and the contact sheet beside the project's masks, wherever these lie."""
    from tam_dist.media.delivery import delivered

    base = project.location.rstrip("/")
    files = {"overlay": f"{base}/overlay.mp4", "contact_sheet": f"{base}/sheet.png"}
    with delivered(files["overlay"]) as path:
        project.write_overlay(path)
    with delivered(files["contact_sheet"]) as path:
        project.write_contact_sheet(path)
    return files

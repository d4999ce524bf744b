"""Gradio's part: the page, in which the viewer is one HTML component and the forms are plain Gradio."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request

from tam_dist.corpus.names import plain_name
from tam_dist.errors import TamDistError
from tam_dist.review.exports import format_choices
from tam_dist.review.pane import Pane

if TYPE_CHECKING:
    import gradio as gr

_HEAD = '<link rel="stylesheet" href="/pane/theme.css"><link rel="stylesheet" href="/pane/app.css">'
_VIEWER = "import('/pane/app.js').then((m) => m.start(element));"
_CURRENT = "(...given) => [window.tamDist?.review.view?.id ?? '', ...given.slice(1)]"
_OPEN = "(id) => { if (id) { delete document.body.dataset.drawer; window.tamDist.go(id); } }"


def mount_page(app: FastAPI, pane: Pane) -> None:
    """At /. Gradio must ask nobody anything: its switches are read when it is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import gradio as gr

    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    with gr.Blocks(title="tam-dist review", analytics_enabled=False, fill_width=True, fill_height=True) as blocks:
        gr.HTML("", html_template="<div id='td-app'></div>", js_on_load=_VIEWER, apply_default_css=False, elem_id="td-root")
        with gr.Column(elem_id="td-export", elem_classes="td-drawer"):
            _export_form(pane)
        if pane.places.can_add:
            with gr.Column(elem_id="td-new", elem_classes="td-drawer"):
                _new_form(blocks, pane)

    def author(request: Request) -> str | None:
        name: str | None = request.scope.get("author")
        return name

    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        auth_dependency=author,
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        theme=theme,
        head=_HEAD,
        max_file_size="1mb",
    )


def _export_form(pane: Pane) -> None:
    import gradio as gr

    def export(project: str, form: str) -> Iterator[str]:
        try:
            place = pane.places.project(project)
        except KeyError:
            yield "Open a project first."
            return
        yield from _told(pane.exports.start(place.location, place.name, form), pane)

    gr.Markdown("### Export the masks")
    form = gr.Dropdown(format_choices(), value="overlay", label="Format", filterable=True)
    current = gr.Textbox(visible="hidden")
    button = gr.Button("Export", variant="primary")
    answer = gr.HTML("")
    button.click(export, [current, form], answer, js=_CURRENT, api_visibility="private", show_progress="hidden")


def _told(future: Future[str], pane: Pane) -> Iterator[str]:
    """HTML that says how far an export is, and last where it can be had."""
    begun = time.monotonic()
    while not future.done():
        yield f"<p>Exporting, {time.monotonic() - begun:.0f} s</p>"
        time.sleep(0.5)
    try:
        identifier = future.result()
    except TamDistError as error:
        yield f"<p class='td-failure'>{html.escape(str(error))}</p>"
        return
    name = html.escape(pane.exports.file(identifier).name)
    yield f"<p><a href='/media/export/{identifier}' download='{name}'>Save {name}</a></p>"


def _new_form(blocks: gr.Blocks, pane: Pane) -> None:
    import gradio as gr

    def choices() -> dict[str, object]:
        return gr.update(choices=[(Path(path).name, path) for path in pane.places.videos()])

    def named(path: str | None) -> str:
        return plain_name(path) if path else ""

    def begin(path: str | None, name: str) -> tuple[str, str]:
        try:
            if not path:
                return "", "Choose a video first."
            return pane.opener.start_draft(path, name.strip()).id, ""
        except TamDistError as error:
            return "", html.escape(str(error))

    gr.Markdown(
        "### Track a new video\nChoose it, then click on an object in it. Tracking starts when you accept the first mask."
    )
    video = gr.Dropdown([], label="Video", filterable=True)
    name = gr.Textbox(label="Name of its project", max_length=100)
    button = gr.Button("Open", variant="primary")
    begun, problem = gr.Textbox(visible="hidden"), gr.HTML("", elem_classes="td-failure")
    blocks.load(choices, None, video, api_visibility="private", show_progress="hidden")
    video.change(named, video, name, api_visibility="private", show_progress="hidden")
    opening = button.click(begin, [video, name], [begun, problem], api_visibility="private", show_progress="hidden")
    opening.then(None, begun, None, js=_OPEN)

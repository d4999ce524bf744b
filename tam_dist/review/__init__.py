"""The review pane: a web page on running and finished projects, through which people look, correct and confirm.

FastAPI owns login, guard, pictures and the API; Gradio is mounted in it and carries the page. Everything the pane changes goes
through :mod:`tam_dist.steering`, so that it keeps nothing that a restart could lose.
"""

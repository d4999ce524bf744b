"""Starting the pane: who may come in, and the server itself."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from tam_dist.errors import ConfigError, ResourceError
from tam_dist.prompts import login
from tam_dist.review.jobs import Jobs
from tam_dist.review.opened import Opener
from tam_dist.review.pane import Pane
from tam_dist.review.places import Places
from tam_dist.review.sessions import Sessions

PASSWORD = "TAM_DIST_REVIEW_PASSWORD"  # noqa: S105 (the variable's name)
#: Shorter ones are refused: the pane may be open to a whole network.
_SHORTEST = 8


def make_pane(
    where: str,
    *,
    host: str = "127.0.0.1",
    password_file: str | None = None,
    videos: Sequence[str] = (),
    address: str | None = None,
) -> Pane:
    """Raises :class:`ConfigError` where ``host`` can be reached from elsewhere and there is no password, or a bad one, and
    :class:`ProjectError` where there is nothing to show.
    """
    password = _password(password_file)
    if password is None and not _is_loopback(host):
        raise ConfigError(
            f"{host} can be reached from other machines: give a password, --password-file or {PASSWORD}, or leave out --host."
        )
    places = Places(where, videos)
    return Pane(places, Sessions(password, login()), Jobs(address or os.environ.get("RAY_ADDRESS")), Opener(places))


def serve(pane: Pane, host: str, port: int, *, ready: Callable[[str], None]) -> None:
    """Until the process is interrupted. ``ready`` hears the address. Raises :class:`ResourceError` where the port is taken."""
    import uvicorn

    from tam_dist.review.app import build_app

    listening = _listen(host, port)
    app = build_app(pane)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, ws="none"))
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{listening.getsockname()[1]}")
    try:
        server.run(sockets=[listening])
    finally:
        pane.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ResourceError(
            f"{host}:{port} cannot be listened on, {error.strerror or error}: choose another --port."
        ) from error
    return listening


def _password(file: str | None) -> str | None:
    if file is None:
        password = os.environ.get(PASSWORD)
    else:
        try:
            password = next(iter(Path(file).read_text(encoding="utf-8").splitlines()), "")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The password file {file} cannot be read: {error}") from error
    if password is not None and len(password) < _SHORTEST:
        raise ConfigError(f"The review pane's password is shorter than {_SHORTEST} characters: choose a longer one.")
    return password


def _is_loopback(host: str) -> bool:
    """
    >>> _is_loopback("127.0.0.1"), _is_loopback("localhost"), _is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

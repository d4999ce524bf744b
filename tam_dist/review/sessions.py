"""Who is logged in: a password for all, a name of one's own, and a signed cookie."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from tam_dist.errors import PromptError
from tam_dist.prompts import checked_name

COOKIE = "tam-dist-review"
#: Seconds that a login holds.
LIFETIME = 12 * 3600
#: Wrong passwords that an address may send before it must wait, and for how many seconds it then must.
_FREE_TRIES, _WAIT = 5, 30.0
_MOST_ADDRESSES = 4096


@dataclass
class Sessions:
    """``password`` None: everybody is let in, which is for 127.0.0.1 alone, under the name ``author``."""

    password: str | None
    author: str
    #: Lives with the process: after a restart people log in again.
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _limit: RateLimit = field(default_factory=lambda: RateLimit())

    @property
    def needs_login(self) -> bool:
        return self.password is not None

    def log_in(self, name: str, password: str, address: str) -> str | None:
        """The cookie's value, None where the password is wrong. Raises :class:`TooManyTriesError`, and :class:`PromptError`
        where the name is none.
        """
        self._limit.check(address)
        given, right = (hashlib.sha256(text.encode()).digest() for text in (password, self.password or ""))
        if not hmac.compare_digest(given, right):
            self._limit.failed(address)
            return None
        self._limit.forget(address)
        return self._signed(checked_name(name), int(time.time()) + LIFETIME)

    def author_of(self, cookie: str | None) -> str | None:
        """The name of the person that the cookie was given to; None for one that is false, or too old."""
        if not self.needs_login:
            return self.author
        try:
            text, until, _ = (cookie or "").split(".")
            name = base64.urlsafe_b64decode(text).decode()
            expected = self._signed(name, int(until))
        except ValueError:
            return None
        valid = hmac.compare_digest(expected.encode(), (cookie or "").encode()) and int(until) > time.time()
        return name if valid else None

    def _signed(self, name: str, until: int) -> str:
        text = f"{base64.urlsafe_b64encode(name.encode()).decode()}.{until}"
        return f"{text}.{hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()}"


class TooManyTriesError(PromptError):
    """Wrong passwords came too fast; ``seconds`` until the next may be tried."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Too many wrong passwords: try again in {seconds:.0f} seconds.")
        self.seconds = seconds


class RateLimit:
    """Counts failures by address; each one beyond :data:`_FREE_TRIES` doubles the wait."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  # count, when the next try is allowed
        self._lock = threading.Lock()

    def check(self, address: str) -> None:
        with self._lock:
            _, until = self._failures.get(address, (0, 0.0))
        if until > time.monotonic():
            raise TooManyTriesError(until - time.monotonic())

    def failed(self, address: str) -> None:
        with self._lock:
            count = self._failures.pop(address, (0, 0.0))[0] + 1
            over = min(count - _FREE_TRIES, 6)
            self._failures[address] = (count, time.monotonic() + (_WAIT * 2**over if over >= 0 else 0.0))
            if len(self._failures) > _MOST_ADDRESSES:
                self._failures.popitem(last=False)

    def forget(self, address: str) -> None:
        with self._lock:
            self._failures.pop(address, None)

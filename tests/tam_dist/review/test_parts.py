"""Claims and jobs, without a server."""

from __future__ import annotations

import threading
from pathlib import Path

from tam_dist.review.jobs import Jobs
from tam_dist.review.queueing import HOLDS, Claims, Spot
from tests.tam_dist.review.browser import wait_for


def spots(*frames: int) -> list[Spot]:
    return [Spot("film", frame, "cat") for frame in frames]


def test_two_people_are_not_sent_to_the_same_frame_nor_its_neighbours() -> None:
    claims = Claims()
    assert claims.claim("a", Spot("film", 10, "cat"), apart=8)
    assert not claims.claim("b", Spot("film", 10, "cat"), apart=8)
    assert not claims.claim("b", Spot("film", 17, "dog"), apart=8)
    assert claims.claim("b", Spot("other", 10, "cat"), apart=8)
    assert claims.free("b", spots(3, 9, 30), apart=8) == spots(30)
    assert claims.free("a", spots(3, 9, 30), apart=8) == spots(3, 9, 30)


def test_a_claim_ends_when_its_page_is_gone() -> None:
    now = [0.0]
    claims = Claims(clock=lambda: now[0])
    claims.claim("a", *spots(10), apart=8)
    now[0] = HOLDS - 1
    claims.keep("a")
    now[0] = HOLDS + 1
    assert not claims.claim("b", *spots(10), apart=8)
    now[0] = 2 * HOLDS + 1
    assert claims.claim("b", *spots(10), apart=8)


def test_what_is_passed_over_is_not_offered_to_that_page_again() -> None:
    claims = Claims()
    claims.claim("a", *spots(10), apart=8)
    claims.pass_over("a", *spots(10))
    assert claims.free("a", spots(10, 30), apart=8) == spots(30)
    assert claims.free("b", spots(10, 30), apart=8) == spots(10, 30)


def test_one_page_gets_it_of_many_that_ask_at_once() -> None:
    claims, won = Claims(), []

    def ask(page: str) -> None:
        if claims.claim(page, *spots(10), apart=8):
            won.append(page)

    pages = [threading.Thread(target=ask, args=(str(k),)) for k in range(20)]
    for each in pages:
        each.start()
    for each in pages:
        each.join()
    assert len(won) == 1


def test_jobs_wait_for_whoever_tracks_and_start_only_what_is_due() -> None:
    driven, due = {"a"}, {"a", "b"}
    jobs = Jobs(due=lambda where: where in due, driven=lambda where: where in driven)
    started: list[str] = []

    def track(location: str) -> dict[str, str]:
        started.append(location)
        due.discard(location)
        return {}

    jobs._track = track  # type: ignore[method-assign]
    for each in ("a", "c", "b"):  # c has nothing due
        jobs.want(each)
    wait_for(lambda: started == ["b"] and not jobs.state("b"))
    wait_for(lambda: jobs.state("a") == "waiting" and not jobs.state("c"))
    driven.clear()
    wait_for(lambda: started == ["b", "a"] and not jobs.state("a"))
    jobs.close()


def test_what_is_wanted_while_it_is_looked_at_is_looked_at_again() -> None:
    looks: list[str] = []

    def due(location: str) -> bool:
        looks.append(location)
        if len(looks) == 1:
            jobs.want(location)  # somebody corrects it just behind the look
        return False

    jobs = Jobs(due=due, driven=lambda _: False)
    jobs.want("a")
    wait_for(lambda: len(looks) == 2 and not jobs.state("a"))
    jobs.close()


def test_a_failure_is_told_in_its_own_words(tmp_path: Path) -> None:
    jobs = Jobs(due=lambda _: True, driven=lambda _: False)
    jobs.want(str(tmp_path / "nothing"))
    wait_for(lambda: jobs.failure(str(tmp_path / "nothing")))
    assert "not a tam-dist project" in jobs.failure(str(tmp_path / "nothing"))
    jobs.want(str(tmp_path / "neither"))
    wait_for(lambda: "neither" in jobs.failure(str(tmp_path / "neither")))
    jobs.close()

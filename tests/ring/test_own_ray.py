"""What is said before Ray is started."""

import resource

import pytest

from streamer.errors import RingError
from streamer.ring import own_ray

UNLIMITED = resource.RLIM_INFINITY


def limited(monkeypatch: pytest.MonkeyPatch, which: int, soft: int, hard: int) -> list[object]:
    """A machine with this one limit; returns what it is then set to."""
    wanted: list[object] = []
    monkeypatch.setattr(
        resource, "getrlimit", lambda kind: (soft, hard) if kind == which else (UNLIMITED,) * 2
    )
    monkeypatch.setattr(resource, "setrlimit", lambda kind, to: wanted.append(to))
    return wanted


def test_a_limit_that_ray_would_die_of_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, resource.RLIMIT_NOFILE, 40, 40)
    with pytest.raises(RingError, match=r"only 40 files may be open \(ulimit -n\)"):
        own_ray.check_limits()
    limited(monkeypatch, resource.RLIMIT_FSIZE, 1_024_000, UNLIMITED)
    with pytest.raises(RingError, match=r"files may have 1 MB at most \(ulimit -f\)"):
        own_ray.check_limits()


def test_a_limit_that_may_be_raised_is(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = limited(monkeypatch, resource.RLIMIT_NOFILE, 40, 4096)
    own_ray.check_limits()
    assert wanted == [(own_ray.FILES_MIN, 4096)]
    assert not limited(monkeypatch, resource.RLIMIT_NOFILE, UNLIMITED, UNLIMITED)
    own_ray.check_limits()

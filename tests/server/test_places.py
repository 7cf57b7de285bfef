"""Who may stay when connections are many: an attack in small."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.server.access import Access
from streamer.server.places import Places

ADMIN = Access("admin")


def test_silent_connections_of_one_address_push_out_each_other() -> None:
    places: Places[int] = Places(total=10, waiting=6, per_address=3)
    assert [places.enter(n, "attacker") for n in range(3)] == [None, None, None]
    assert places.enter(3, "attacker") == 0, "its own oldest"
    assert places.enter(4, "guest") is None


def test_silent_connections_of_many_addresses_leave_the_kept_places() -> None:
    places: Places[str] = Places(total=10, waiting=6, per_address=3)
    for n in range(50):
        places.enter(f"silent {n}", f"address {n}")
    for n in range(4):
        assert places.enter(f"guest {n}", "guest") not in {f"guest {k}" for k in range(4)}
        places.accept(f"guest {n}", ADMIN)
    assert len(places) <= 10
    for n in range(50):
        places.enter(f"more {n}", f"address {n}")
    assert len(places) == 10
    left = [places.enter(f"again {n}", f"again {n}") for n in range(9)]
    assert not [one for one in left if one is None or one.startswith("guest")]


def test_when_all_have_sent_a_request_a_newcomer_must_go() -> None:
    places: Places[int] = Places(total=2, waiting=2, per_address=2)
    for n in range(2):
        places.enter(n, "a")
        places.accept(n, ADMIN)
    assert places.enter(2, "b") == 2
    places.leave(0)
    assert places.enter(3, "b") is None


def watcher(token: str) -> Access:
    return Access("watch", token=token)


def fill(places: Places[str], access: Access, count: int) -> list[str | None]:
    """So many connections with a token, at once; returns who had to leave for each."""
    leaving: list[str | None] = []
    for n in range(count):
        one = f"{access.role} {access.token} {n}"
        assert places.enter(one, access.token) != one
        leaving.append(places.accept(one, access))
    return leaving


def test_a_token_that_only_watches_leaves_places_to_all_others() -> None:
    places: Places[str] = Places(total=16, waiting=4, per_address=4)
    assert fill(places, watcher("a"), 6) == [None] * 4 + ["watch a 4", "watch a 5"]
    assert fill(places, watcher("b"), 5)[3:] == [None, "watch b 4"]
    assert fill(places, watcher("c"), 1) == ["watch c 0"], "those who watch have all of theirs"
    assert fill(places, Access("publish", token="p"), 3) == [None, None, "publish p 2"]
    assert fill(places, Access("publish", token="q"), 1) == [None]
    assert fill(places, ADMIN, 5) == [None] * 5


def test_the_connection_that_has_been_idle_for_longest_leaves_for_one_of_its_token() -> None:
    places: Places[str] = Places(total=16, waiting=4, per_address=4)
    fill(places, watcher("a"), 4)
    for n in (0, 1, 2):
        places.rest(f"watch a {n}")
    assert places.accept("watch a 0", watcher("a")) is None, "another request of the same"
    places.rest("watch a 0")
    places.enter("new", "new")
    assert places.accept("new", watcher("a")) == "watch a 1"
    assert len(places) == 4


@given(st.lists(st.tuples(st.sampled_from("earl"), st.integers(0, 9), st.integers(0, 2))))
def test_bounds_hold_whatever_comes(steps: list[tuple[str, int, int]]) -> None:
    places: Places[int] = Places(total=5, waiting=3, per_address=2)
    inside: set[int] = set()
    for what, n, address in steps:
        if what == "e" and n not in inside:
            leaving = places.enter(n, str(address))
            inside = (inside | {n}) - {leaving}
        elif what == "a":
            inside -= {places.accept(n, (ADMIN, watcher("a"), watcher("b"))[address])}
        elif what == "r":
            places.rest(n)
        elif what == "l":
            places.leave(n)
            inside.discard(n)
        assert len(places) == len(inside) <= 5

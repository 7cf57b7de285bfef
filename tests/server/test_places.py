"""Who may stay when connections are many: an attack in small."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.server.places import Places


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
        places.accept(f"guest {n}")
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
        places.accept(n)
    assert places.enter(2, "b") == 2
    places.leave(0)
    assert places.enter(3, "b") is None


@given(st.lists(st.tuples(st.sampled_from("eal"), st.integers(0, 9), st.integers(0, 2))))
def test_bounds_hold_whatever_comes(steps: list[tuple[str, int, int]]) -> None:
    places: Places[int] = Places(total=5, waiting=3, per_address=2)
    inside: set[int] = set()
    for what, n, address in steps:
        if what == "e" and n not in inside:
            leaving = places.enter(n, str(address))
            inside = (inside | {n}) - {leaving}
        elif what == "a" and n in inside:
            places.accept(n)
        elif what == "l":
            places.leave(n)
            inside.discard(n)
        assert len(places) == len(inside) <= 5

"""ring → **reorder** → pacer: frames in the order in which the ring accepted them."""

from typing import Generic, TypeVar

T = TypeVar("T")


class ReorderBuffer(Generic[T]):
    """Releases items in `seq` order: strictly increasing, none twice, none held for ever.

    A gap closes when its item arrives, when its tombstone (`None`) arrives, or `max_wait_s`
    after the first item behind it arrived (None: never, for files). It never holds more than
    `window` items, the bound on how far the ring runs ahead of delivery.
    """

    def __init__(self, max_wait_s: float | None, window: int) -> None:
        self.max_wait_s = max_wait_s
        self.late = 0  # arrived after its turn had been given up
        self.skipped = 0  # turns given up while waiting
        self.next_seq = 0
        self._window = window
        self._held: dict[int, tuple[T | None, float]] = {}  # seq -> item or tombstone, arrival

    def __len__(self) -> int:
        return len(self._held)

    def push(self, seq: int, item: T | None, now: float) -> list[T]:
        """Take one item or tombstone; return what is now in order.

        Raises ValueError for a seq that is already held or beyond the window.
        """
        if seq < self.next_seq:
            self.late += item is not None
            return []
        if seq in self._held:
            raise ValueError(f"seq {seq} came twice")
        if seq >= self.next_seq + self._window:
            raise ValueError(f"seq {seq} is beyond the window {self.next_seq}+{self._window}")
        self._held[seq] = (item, now)
        return self._drain()

    def expire(self, now: float) -> list[T]:
        """Give up every gap that has been waited for long enough; return what that releases."""
        released: list[T] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            first = min(self._held)
            self.skipped += first - self.next_seq
            self.next_seq = first
            released += self._drain()
        return released

    def next_deadline(self) -> float | None:
        """When `expire` will have something to do; None when nothing waits."""
        if self.max_wait_s is None or not self._held:
            return None
        return min(arrival for _, arrival in self._held.values()) + self.max_wait_s

    def _drain(self) -> list[T]:
        released = []
        while self.next_seq in self._held:
            item, _ = self._held.pop(self.next_seq)
            self.next_seq += 1
            if item is not None:
                released.append(item)
        return released

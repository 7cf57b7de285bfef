"""What attacks have in common: whom they are aimed at, and what they report."""

import collections
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil


@dataclass(frozen=True, slots=True)
class Target:
    """A running server that has a token for each role."""

    host: str
    port: int
    tokens: dict[str, str]
    process: psutil.Process
    home: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def log_bytes(self) -> int:
        return (self.home / "out").stat().st_size

    def media_ports(self) -> list[int]:
        """UDP ports that its streams listen on."""
        return sorted({one.laddr.port for one in self.process.net_connections("udp4")})

    def http(self, role: str = "", timeout_s: float = 60.0) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        return httpx.Client(base_url=self.url, timeout=timeout_s, headers=headers)

    def head(self, line: str, rest: str = "", role: str = "") -> bytes:
        """A request's head as bytes."""
        if role:
            rest += f"Authorization: Bearer {self.tokens[role]}\r\n"
        return f"{line} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{rest}\r\n".encode()

    def connect(self, timeout_s: float = 5.0) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout_s)

    def raw(self, data: bytes, timeout_s: float = 5.0) -> bytes:
        """What comes back for these bytes, until it closes or says nothing more."""
        got = b""
        with contextlib.suppress(OSError), self.connect(timeout_s) as sock:
            sock.sendall(data)
            while part := sock.recv(65536):
                got += part
        return got


Run = Callable[[Target, float], str]


@dataclass(frozen=True, slots=True)
class Attack:
    """`who` can do it: N anybody, W with a token to watch, P with one to publish."""

    name: str
    who: str
    run: Run  # until this time, at least once; says what the attacker got
    make: Callable[[], object] = lambda: None  # before that: the files it takes, which are kept


ATTACKS: list[Attack] = []


def attack(who: str, name: str, *make: Callable[[], object]) -> Callable[[Run], Run]:
    def add(run: Run) -> Run:
        ATTACKS.append(Attack(name, who, run, lambda: [one() for one in make]))
        return run

    return add


def until(end: float, pause_s: float = 0.0) -> Iterator[int]:
    """Numbers, as long as there is time; at least one."""
    number = 0
    while number == 0 or time.monotonic() < end:
        yield number
        number += 1
        time.sleep(pause_s)


def at_once(work: Iterable[Callable[[], object]]) -> None:
    """All of them, each in a thread."""
    threads = [threading.Thread(target=one, daemon=True) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def tally(answers: Iterable[object]) -> str:
    """Answers and how often each came."""
    counted = collections.Counter(map(str, answers))
    return ", ".join(f"{answer} x{count}" for answer, count in counted.most_common(4))


def status(answer: bytes) -> str:
    """Of a raw answer: its status, or that there was none."""
    return answer[9:12].decode(errors="replace") if answer.startswith(b"HTTP/1.1") else "closed"


def said(response: httpx.Response) -> str:
    """The status, and the message of an error."""
    try:
        text = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = ""
    return f"{response.status_code} {text}".strip()

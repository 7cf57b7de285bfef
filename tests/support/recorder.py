"""A network of its own in which everything answers, and is written down.

    python -m tests.support.recorder FILE COMMAND...

Runs COMMAND in a network namespace where every address of the world is this machine: name servers
and web servers are ours, and record who was asked for what, a line each in FILE. Needs root, or
user namespaces, and iproute2. Exits as COMMAND does.
"""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

INSIDE = "RECORDER_INSIDE"
PORTS = (80, 443, 853)


def name_of(query: bytes) -> str:
    """The name in a DNS query (RFC 1035)."""
    labels, at = [], 12
    while at < len(query) and query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode(errors="replace"))
        at += 1 + query[at]
    return ".".join(labels)


class Recorder:
    def __init__(self, file: Path) -> None:
        self._file = file.open("a", buffering=1)

    def note(self, line: str) -> None:
        print(line, file=self._file)

    def names(self, family: socket.AddressFamily) -> None:
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind(("", 53))
        while True:
            query, client = server.recvfrom(4096)
            self.note(f"name {name_of(query)}")
            answer = query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:]  # NXDOMAIN
            server.sendto(answer, client)

    def connections(self, port: int) -> None:
        server = socket.create_server(("", port), backlog=64)
        while True:
            client, _ = server.accept()
            self.note(f"connection {client.getsockname()[0]}:{port}")
            client.close()


def main() -> int:
    file, *command = sys.argv[1:]
    if INSIDE not in os.environ:
        words = ["unshare", "--user", "--map-root-user", "--net", "--mount", sys.executable, "-m"]
        inner = [*words, "tests.support.recorder", file, *command]
        return subprocess.run(inner, env=os.environ | {INSIDE: "1"}, check=False).returncode
    for line in ("link set lo up", "route add local 0.0.0.0/0 dev lo"):
        subprocess.run(["ip", *line.split()], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as resolver:
        resolver.write("nameserver 192.0.2.53\noptions timeout:1 attempts:1\n")
        resolver.flush()
        real = str(Path("/etc/resolv.conf").resolve())
        subprocess.run(["mount", "--bind", resolver.name, real], check=True)
        recorder = Recorder(Path(file))
        threading.Thread(target=recorder.names, args=(socket.AF_INET,), daemon=True).start()
        for port in PORTS:
            threading.Thread(target=recorder.connections, args=(port,), daemon=True).start()
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

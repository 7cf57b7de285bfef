"""`streamer node`: makes this machine part of a Ray cluster, and takes it out again."""

from typing import Annotated

import typer

node_app = typer.Typer(
    help="Make this machine part of a Ray cluster, and take it out again.", no_args_is_help=True
)

AddressArgument = Annotated[
    str, typer.Argument(metavar="HEAD", help="Address of the head: HOST or HOST:PORT.")
]
ClusterOption = Annotated[
    str, typer.Option("--ray-address", metavar="ADDRESS", help="The cluster: auto, or HOST:PORT.")
]
IpOption = Annotated[
    str | None,
    typer.Option("--ip", help="Address of this machine that the others reach. Default: found."),
]
CpusOption = Annotated[int | None, typer.Option(min=0, help="CPU cores for workers. Default: all.")]
GpusOption = Annotated[int | None, typer.Option(min=0, help="GPUs for workers. Default: all.")]


@node_app.command()
def head(
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Port of the cluster.")] = 6379,
    ip: IpOption = None,
    cpus: CpusOption = None,
    gpus: GpusOption = None,
) -> None:
    """Start a cluster, with this machine as its head, until Ctrl-C.

    The first time it makes a token, in ~/.ray/auth_token. Every other machine needs the same file.

    [bold]Examples[/bold]

    streamer node head
        then, on the same machine: streamer serve --ray-address auto

    streamer node head --cpus 0
        the head only serves; the others stylize
    """
    from streamer.ring import nodes

    if made := nodes.make_token():
        print(f"made a token for the cluster: copy {made} to every other machine", flush=True)
    drained = nodes.run_head(
        _options(ip, cpus, gpus),
        lambda: print(
            f"the cluster runs; on other machines: streamer node join {ip or 'HOST'}:{port}; "
            "here: streamer serve --ray-address auto; Ctrl-C ends it",
            flush=True,
        ),
        port,
    )
    if drained:
        print("the head was drained, which ends the cluster")


@node_app.command()
def join(
    address: AddressArgument,
    ip: IpOption = None,
    cpus: CpusOption = None,
    gpus: GpusOption = None,
) -> None:
    """Make this machine a node of a cluster, until Ctrl-C or `streamer node leave`.

    It needs the head's token, in ~/.ray/auth_token or RAY_AUTH_TOKEN, and the same versions of
    Python, Ray and streamer. Models come from the server, by their SHA-256.

    [bold]Example[/bold]

    streamer node join 192.168.1.10
    """
    from streamer.ring import nodes

    drained = nodes.run_node(
        address,
        _options(ip, cpus, gpus),
        lambda: print(f"joined {address}; Ctrl-C leaves", flush=True),
    )
    if drained:
        print("this node was drained and has left")


@node_app.command()
def leave() -> None:
    """Take this machine out of its cluster.

    Live streams go on with the other machines; each of this one's workers loses one frame.
    """
    from streamer.ring import nodes

    print(f"left: process {nodes.leave()} has ended")


@node_app.command()
def drain(
    node: Annotated[str, typer.Argument(help="Its host name, address or id.")],
    ray_address: ClusterOption = "auto",
) -> None:
    """Let a machine take no new workers; it leaves once it has none, an idle one at once."""
    from streamer.ring import nodes

    found = nodes.drain(ray_address, node)
    print(f"{found.host} ({found.address}) takes no new workers; it leaves once it has none")


@node_app.command("list")
def list_(ray_address: ClusterOption = "auto") -> None:
    """List the machines of a cluster."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from streamer.ring import nodes

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("host", "address", "cpus", "gpus", "id"):
        table.add_column(column, no_wrap=True)
    for node in nodes.nodes(ray_address):
        counts = f"{node.cpus:g}", f"{node.gpus:g}"
        table.add_row(escape(node.host), node.address, *counts, node.id[:8])
    Console().print(table)


def _options(ip: str | None, cpus: int | None, gpus: int | None) -> list[str]:
    given = {"--node-ip-address": ip, "--num-cpus": cpus, "--num-gpus": gpus}
    return [f"{name}={value}" for name, value in given.items() if value is not None]

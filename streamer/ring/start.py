"""serve, file, camera, bench, doctor → **start** → ring, cluster: a ring of this machine's workers.

`setup` says how many workers with how many threads or GPUs; `ring_of` makes the ring.
"""

from functools import partial

from streamer.engine.stylizer import StylizerSpec
from streamer.frame import Style
from streamer.ring.cluster import Cluster
from streamer.ring.ring import Ring
from streamer.ring.setup import Setup
from streamer.styles.catalogue import Catalogue


def ring_of(
    setup: Setup,
    catalogue: Catalogue,
    warm: Style,
    *,
    address: str | None = None,
    follow_catalogue: bool = False,
    shared: bool = False,
) -> Ring:
    """A ring that stylizes with every model of the catalogue, warm for one style; not yet started.

    `address` names a Ray cluster to join: the ring begins with its first worker, since others may
    be on machines that have yet to join. `follow_catalogue`: workers find styles that are added
    later on, too. `shared`: rings in other processes use the same workers.
    """
    all_threads = setup.workers * setup.threads
    spec = StylizerSpec(
        setup.backend,
        setup.threads,
        setup.place,
        catalogue.models,
        follow_catalogue,
        photo_threads=setup.threads if address else all_threads,
    )
    start = partial(
        Cluster,
        spec.load,
        warm,
        workers=setup.workers,
        threads=setup.threads,
        gpus=setup.gpus,
        address=address,
        files=spec.files if address else (),
        shared=setup.depth if shared else 0,
    )
    return Ring(start, depth=setup.depth, quorum=1 if address else None, shared=shared)

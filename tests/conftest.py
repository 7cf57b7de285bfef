"""Fixtures of more than one module."""

from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import HealthCheck, settings

from tests.support.http_world import FakeRing, FakeSessions, World

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("streamer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("streamer")


@pytest.fixture
async def world() -> World:
    world = World(FakeRing(), FakeSessions())
    world.ring.gate.set()
    return world


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.http() as http:
        yield http

"""Fixtures of more than one module."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.http_world import FakeRing, FakeSessions, World


@pytest.fixture
async def world() -> World:
    world = World(FakeRing(), FakeSessions())
    world.ring.gate.set()
    return world


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.http() as http:
        yield http

"""Live streams by name: publishers, broadcasts and viewers."""

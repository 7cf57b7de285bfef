"""A stream's way through the ring: intake, order, pace, and what it looks like."""

"""What this machine can do: checks, measurements, and what `streamer bench` found."""

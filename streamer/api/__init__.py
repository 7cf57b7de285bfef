"""What `import streamer` gives; docs/library.md shows it."""

"""N workers, one process each: where frames are stylized."""

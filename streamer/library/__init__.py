"""The styles that users add, pull or make."""

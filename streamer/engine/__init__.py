"""Networks made fast: norms folded into convolutions, 8 bits where they pay, engines by measurement."""

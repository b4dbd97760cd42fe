"""What the operations that matter cost: requests, time, memory. ``python -m benchmarks``."""

"""`make bench`: what a request costs, beside peers in the same run (docs/performance.md)."""

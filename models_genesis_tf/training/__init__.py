"""One explicit training loop and what it needs."""

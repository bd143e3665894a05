"""Speed, cost and scale as figures: `make bench`."""

"""``python -m tam_dist.cli``."""

from tam_dist.cli import main

main()

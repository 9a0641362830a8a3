"""``python -m fedlung``: the same as the command ``fedlung``."""

from fedlung.cli import main

main()

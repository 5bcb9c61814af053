"""`python -m acz` is `acz`."""

from acz.cli import main

main()

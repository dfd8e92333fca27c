"""`python -m beatweaver` is the command line."""

from beatweaver.cli import main

main()

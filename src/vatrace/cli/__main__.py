"""`python -m vatrace.cli`."""

from vatrace.cli import main

main()

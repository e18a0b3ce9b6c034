"""`python -m ai_platform.cli`, which is how `up` starts its own parts."""

from ai_platform.cli.app import main

main()

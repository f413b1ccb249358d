"""`python -m headless_discovery` is the command `headless-discovery`."""

from .cli import main

if __name__ == "__main__":
    main()

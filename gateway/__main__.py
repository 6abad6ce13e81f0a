"""`python -m gateway` is `samurai`."""

from gateway.cli import main

if __name__ == "__main__":
    main()

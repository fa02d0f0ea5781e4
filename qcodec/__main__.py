"""Lets ``python -m qcodec`` do what ``qcodec`` does."""

from qcodec.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

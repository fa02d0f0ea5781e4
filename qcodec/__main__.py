"""Run ``python -m qcodec`` as the command ``qcodec``."""

from qcodec.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

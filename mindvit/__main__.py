"""``python -m mindvit COMMAND …``."""

from mindvit.cli import main

if __name__ == "__main__":
    main()

"""``python -m sam_plugins`` is the command line ``sam-plugins``."""

from sam_plugins.cli.main import main

if __name__ == "__main__":
    main()

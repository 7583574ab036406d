"""``python -m bot`` is ``zimage-bot``."""

from bot.cli.main import main

if __name__ == "__main__":
    main()

"""The Discord face of zimage-bot: everything that knows Discord, users or SQL."""

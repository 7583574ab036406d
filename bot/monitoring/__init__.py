"""How the bot looks from outside: metrics, health, alerts, and what systemd is told."""

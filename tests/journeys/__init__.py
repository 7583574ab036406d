"""Conversations with the bot, written down as people see them: ``python -m tests.journeys`` writes docs/journeys."""

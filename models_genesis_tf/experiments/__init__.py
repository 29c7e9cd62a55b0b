"""The work itself, put together from the rooms above."""

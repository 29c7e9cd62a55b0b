"""Scans to cubes: reading, windowing, choosing and storing sub-volumes."""

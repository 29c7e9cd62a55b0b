"""Scores of predictions: NumPy arrays in, numbers out."""

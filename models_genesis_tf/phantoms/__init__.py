"""Procedural scans, each written in the file layout of the data set it stands for."""

"""Models Genesis for Keras: self-supervised 3D models for medical images.

Reading order, which is the data's way through the package:
imaging (scans to cubes), phantoms (synthetic scans), transforms and pipelines (cubes
to pairs), models and training (pairs to weights), experiments (the work put together),
then the commands, one module each.
"""

__version__ = "0.1.0"

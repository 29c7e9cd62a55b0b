"""Packaging: what is installed, what it needs, which commands it brings."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
COMMANDS = (
    "make_phantoms",
    "extract_cubes",
    "preview",
    "pretrain",
    "finetune",
    "evaluate",
    "predict",
    "report",
    "convert_weights",
    "benchmark",
)


def version() -> str:
    """Reads `__version__` without importing the package."""
    text = (HERE / "models_genesis_tf" / "__init__.py").read_text()
    return text.split('__version__ = "')[1].split('"')[0]


setup(
    name="models_genesis_tf",
    version=version(),
    description="Models Genesis: self-supervised 3D models for medical images in Keras",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    packages=find_packages(include=["models_genesis_tf", "models_genesis_tf.*"]),
    package_data={"models_genesis_tf": ["released/*"]},
    python_requires=">=3.11,<3.13",
    install_requires=[
        "absl-py>=2.1",
        "h5py>=3.11",
        "keras>=3.15,<3.16",
        "matplotlib>=3.9",
        "numba>=0.61",
        "numpy>=2.0",
        "scikit-learn>=1.5",
        "scipy>=1.15",
        "SimpleITK>=2.4",
        "tensorboard>=2.19",
        "tensorflow>=2.21,<2.22",
        "tqdm>=4.66",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "dev": ["pytest>=8", "ruff>=0.6"],
    },
    entry_points={
        "console_scripts": [
            f"genesis-{name.replace('_', '-')}=models_genesis_tf.{name}:cli"
            for name in COMMANDS
        ]
    },
)

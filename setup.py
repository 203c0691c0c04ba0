"""Which packages the wheel holds: those found, and three folders that lie beside the package and belong inside it."""

from setuptools import find_packages, setup

BESIDE = ("conf", "launch", "recipes")

setup(
    packages=[
        *find_packages(include=["finetune", "finetune.*", "data_adapters"]),
        *(f"finetune.{name}" for name in BESIDE),
    ],
    package_dir={f"finetune.{name}": name for name in BESIDE},
)

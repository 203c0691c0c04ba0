"""Images that are no plain files in the source: written into the run as PNG, named by their pixels."""

import os
from pathlib import Path

from PIL import Image

from finetune.example import ImageRef
from finetune.images import decode


def write(image: Image.Image, folder: Path) -> ImageRef:
    """Writes an RGB image once, whole or not at all, without any metadata.

    Args:
        image: decoded pixels.
        folder: `data/images` of the run.
    """
    name = f"{decode.digest([image])[:40]}.png"
    if not (folder / name).exists():
        partial = folder / f".{name}.{os.getpid()}.partial"
        clean = Image.frombytes(image.mode, image.size, image.tobytes())  # leaves comments, profiles and EXIF behind
        clean.save(partial, "png", compress_level=1)
        partial.replace(folder / name)
    return ImageRef(f"{folder.name}/{name}")

"""The site key: a file with secret bytes, kept apart from data and runs, by which ids and groups are hashed."""

import hmac
import os
from pathlib import Path

from finetune.config.schema import DataConfig
from finetune.errors import ConfigError, DataError

_MIN_KEY_BYTES = 16


def secret(file: str) -> bytes:
    """The bytes of the key.

    Raises:
        DataError: there is no such file, or it is too short to be secret.
    """
    place = Path(file).expanduser()
    if not place.is_file() or place.stat().st_size < _MIN_KEY_BYTES:
        raise DataError(f"data.site_key={file} is no file of at least {_MIN_KEY_BYTES} bytes.")
    return place.read_bytes()


def hashed(secret: bytes, name: str) -> str:
    """What stands for a name: the same for the same key, and for no other."""
    return hmac.new(secret, name.encode(), "sha256").hexdigest()[:20]


def check_place(data: DataConfig, run: Path) -> None:
    """Checks that the site key lies apart: who copies the data or the run must not copy what undoes the hashes.

    Raises:
        ConfigError: it lies in the folder of a source, or in that of the run.
    """
    if data.site_key is None:
        return
    place = os.path.realpath(Path(data.site_key).expanduser())
    for name, folder in (("data.path", data.path), ("data.test_path", data.test_path), ("the run", run)):
        if folder is not None and Path(place).is_relative_to(os.path.realpath(Path(folder).expanduser())):
            raise ConfigError(
                f"data.site_key={data.site_key} lies in the folder of {name}, {folder}, and would be copied with it: "
                "keep it elsewhere, since who has the key can tell whose ids these are"
            )

"""Every error a user can meet, each with the exit code that a script or a scheduler acts on.

    UserError
    |-- ConfigError        2   the command, a recipe or a key is wrong
    |-- DataError          3   an image, a row, a label or a split is wrong
    |-- GateError          4   a declared requirement was not met
    |-- IntegrityError     5   a file is not what the record says it is
    |-- EgressError        6   something tried to leave the building
    |-- ResourceError      7   disk, memory, device or a busy run directory
    `-- InterruptedRun    75   stopped on request; the same command continues (EX_TEMPFAIL)

A message says what, where, got, expected, and the next step. Anything that is not a `UserError` is a defect of ours and
keeps its traceback.
"""


class UserError(Exception):
    """Base of all errors that are shown as one paragraph, without a traceback."""

    exit_code = 1


class ConfigError(UserError):
    """The command line, a recipe or a config value cannot be used; all mistakes are listed at once."""

    exit_code = 2


class DataError(UserError):
    """A source, an image, a row, a label or a split cannot be used; names the row and the file."""

    exit_code = 3


class GateError(UserError):
    """A regression gate or a declared requirement failed."""

    exit_code = 4


class IntegrityError(UserError):
    """A file, a fingerprint or a hash differs from what the run's record says."""

    exit_code = 5


class EgressError(UserError):
    """A connection was attempted that the network policy does not allow."""

    exit_code = 6


class ResourceError(UserError):
    """Disk, memory or a device is missing, or another process holds the run directory."""

    exit_code = 7


class InterruptedRun(UserError):
    """The run was asked to stop and saved its state; running the same command again continues it."""

    exit_code = 75

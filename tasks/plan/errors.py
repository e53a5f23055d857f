"""Errors: what a person can correct. Each message says what was given, what is allowed and what to do.

Anything else that is raised is a fault of nightloop or of a plug-in, except OSError and MemoryError, which are the
machine's: a file that is not there, a store that does not answer, a full disk.
"""


class NightloopError(Exception):
    """Base of all. The command line prints its message and exits with code 2; the HTTP service answers 4xx."""


class PlanError(NightloopError, ValueError):
    """A plan, a setting, an option or an argument is wrong."""


class DataError(NightloopError, ValueError):
    """Logs, a record of the store or the values of a request cannot be used as they are."""


class ConflictError(NightloopError, RuntimeError):
    """Another run, a person's decision, a blocked night, another program or a missing package prevents the action."""


class StoreError(NightloopError, OSError):
    """The store or the lake does not work as required."""


class NotReady(NightloopError, LookupError):
    """What was requested does not exist, or does not exist yet."""

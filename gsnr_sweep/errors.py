"""The one exception that users are meant to read."""

from hydra.errors import CompactHydraException


class GsnrError(CompactHydraException):
    """A mistake or a missing thing that the user can mend; its text says how.

    Hydra prints exceptions of this family as one message, without a stack trace, and exits with 1.
    """

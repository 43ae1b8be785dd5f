"""The one tree of errors: each message says what was found, what was expected and what to do."""


class CellgateError(Exception):
    """Anything that cellgate refuses, with a message meant for the person at the keyboard."""


class ImageError(CellgateError):
    """An image, frame or archive member that cannot be used."""


class SourceError(CellgateError):
    """A source of cells or frames that is absent, broken or ended too early."""


class BundleError(CellgateError):
    """A bundle that is incomplete, altered or made for another version."""


class ProviderError(CellgateError):
    """An execution provider that was asked for and is not there."""


class StorageError(CellgateError):
    """Something that could not be written, usually because a disk is full."""


class CheckFailedError(CellgateError):
    """A check ran to its end and the answer is no."""

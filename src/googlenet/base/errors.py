"""What can go wrong through no fault of this package: one class per kind of mistake.

GoogLeNetError
├── InputError         an argument or an option that cannot be right
├── DataError          a folder of images that cannot be trained on or measured
├── ImageError         one file that is not a readable image; carries a reason code
├── ModelFileError     a file that is not a model of ours, or was altered
├── DownloadError      a download that failed, or whose checksum does not match
├── WriteError         a result that could not be written
├── TrainingError      a run that cannot go on (non-finite loss, no state to resume)
└── MissingExtraError  a part of the package that was not installed

Every message says what was expected, what was found and what to do, on one line.
"""


class GoogLeNetError(Exception):
    """Any mistake that the user can put right; the command line exits with 2."""


class InputError(GoogLeNetError):
    """An argument or an option that cannot be right."""


class DataError(GoogLeNetError):
    """A folder of images that cannot be trained on or measured."""


class ImageError(GoogLeNetError):
    """One file that is not a readable image.

    `code` is stable and short; `reason` says it in words.

    unreadable  the file system does not give the file
    empty       it has no content
    format      its first bytes are not those of a format that we read
    truncated   its end is missing
    damaged     it contradicts itself, or fails its own checksum
    size        it would need more memory or time than one image may have
    """

    def __init__(self, code: str, reason: str) -> None:
        """Keep the code for machines and the reason for people."""
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        """Survive pickling, which rebuilds an exception from its arguments."""
        return type(self), (self.code, self.reason)


class ModelFileError(GoogLeNetError):
    """A file that is not a model of ours, or was altered since it was written."""


class DownloadError(GoogLeNetError):
    """A download that failed, or whose checksum does not match; nothing of it is used."""


class WriteError(GoogLeNetError):
    """A result that could not be written; what was there before is untouched."""


class TrainingError(GoogLeNetError):
    """A run that cannot go on: a loss that is not finite, or no state to resume."""


class MissingExtraError(GoogLeNetError):
    """A part of the package that was not installed."""


def one_line(error: BaseException) -> str:
    """The message of another library's error, cut to one line of at most 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__

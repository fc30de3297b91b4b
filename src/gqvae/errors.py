"""The one exception that means "your input, not our bug"."""


class GqvaeError(ValueError):
    """Bad input: the message names the file, key or value at fault and says what to do.

    The command line prints the message as one line on stderr and exits with status 1.
    """

"""The one error that a user should ever see."""


class InputError(ValueError):
    """Bad input, told in one sentence that names the value and the remedy."""

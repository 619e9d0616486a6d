"""The one family of exceptions that speak to the person who must act.

A stage or command prints the message of an `EvenlyError` without a traceback and exits 1. Any other
exception is a bug of ours and shows its traceback.
"""


class EvenlyError(Exception):
    """Something the user can mend: the message says what was wrong, where (file, row, key) and what to do."""


class ParameterError(EvenlyError):
    """A setting in params.yaml or datasets.yaml is unknown, missing, or outside what is allowed."""


class DataError(EvenlyError):
    """A data file or one of its rows cannot be used."""


class RecipeError(EvenlyError):
    """A recipe asks for something that cannot be done with this data set, model or installation."""


class ModelError(EvenlyError):
    """A model cannot be fitted, saved or loaded as asked."""

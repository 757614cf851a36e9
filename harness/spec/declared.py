"""The common base of everything that a user declares: frozen, closed, finite, strictly typed."""

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict


class Declared(BaseModel):
    """A declaration: unknown fields are errors, values never change after loading, numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FieldError(ValueError):
    """A mistake that a whole declaration shows, told at the one of its fields where the author would mend it."""

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field


def unset(default: object) -> Callable[[object], bool]:
    """Return the `exclude_if` of a field that came later: at its default it is in no dump, so no hash has changed."""

    def is_unset(value: object) -> bool:
        return value == default

    return is_unset

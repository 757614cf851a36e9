"""A new member of an enumeration that somebody else has closed: PEFT accepts a method only if `PeftType` names it.

Covers enumerations whose members are strings, `class PeftType(str, enum.Enum)`. Python has no public way to do this;
what is set here are the tables that Python 3.11, 3.12 and 3.13 look members up in.
"""

import enum
from typing import Any, TypeVar

Member = TypeVar("Member", bound=enum.Enum)


def extend(enum_class: type[Member], name: str, value: str) -> Member:
    """Return the member `name` of `enum_class` with `value`, adding it if it is not there.

    Raises:
        TypeError: members of `enum_class` are no strings.
        ValueError: the name has another value already, or the value another name.
    """
    if not issubclass(enum_class, str):
        raise TypeError(f"{enum_class.__name__} is no enumeration of strings, so {name} cannot be added to it")
    known = enum_class.__members__.get(name)
    if known is None:
        _refuse_taken(enum_class, name, value)
        return _add(enum_class, name, value)
    if known.value != value:
        raise ValueError(f"{enum_class.__name__}.{name} is {known.value!r} already, not {value!r}. Use another name.")
    return known


def _refuse_taken(enum_class: type[Member], name: str, value: str) -> None:
    for member in enum_class:
        if member.value == value:
            rule = f"is the value of {enum_class.__name__}.{member.name} already, so {name} cannot have it"
            raise ValueError(f"{value!r} {rule}. Use another value.")
    if hasattr(enum_class, name):
        raise ValueError(f"{enum_class.__name__}.{name} is an attribute already, and no member. Use another name.")


def _add(enum_class: Any, name: str, value: str) -> Any:
    tables = vars(enum_class)
    member = str.__new__(enum_class, value)
    member._name_, member._value_, member.__objclass__ = name, value, enum_class
    member._sort_order_ = len(tables["_member_names_"])
    type.__setattr__(enum_class, name, member)  # before the tables name it: afterwards a member cannot be set
    tables["_member_names_"].append(name)
    tables["_member_map_"][name] = member
    tables["_value2member_map_"][value] = member
    if "_hashable_values_" in tables:  # late 3.12 and 3.13 keep them in a list of their own
        tables["_hashable_values_"].append(value)
    return member

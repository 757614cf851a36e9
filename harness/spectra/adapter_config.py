"""What PEFT's adapter_config.json says of an adapter, read as data: no class of PEFT, nothing imported by name.

Fields that the update of a matrix depends on are checked when they are asked for; the rest is left alone. PEFT matches
the keys of rank_pattern and alpha_pattern as regular expressions against the end of a module's name, and so does this.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.spectra.checkpoint import CheckpointError, read_object

NAME = "adapter_config.json"
BYTES = 2**20
LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """The declared fields of a saved adapter."""

    file: Path
    fields: dict[str, Any]

    @property
    def kind(self) -> str:
        """PEFT's name of the method, such as LORA."""
        return self._typed("peft_type", str, "a name such as LORA")

    @property
    def base(self) -> str | None:
        """The base that it was trained on, as it says itself."""
        named = self.fields.get("base_model_name_or_path")
        return named if isinstance(named, str) and named else None

    @property
    def start(self) -> str:
        """How the factors were initialised: `pissa`, `olora`, ...; empty where the start leaves the base as it is."""
        chosen = self.fields.get("init_lora_weights")
        return chosen.lower() if isinstance(chosen, str) else ""

    def on(self, name: str) -> bool:
        """Return whether a field is set to anything but false, null, zero or an empty list."""
        return bool(self.fields.get(name))

    def true(self, name: str) -> bool:
        """Return a field that is true or false; null and none at all are false."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.error(f"{name} {str(value)[:40]!r} is neither true nor false", "Use the file it was saved with")
        return bool(value)

    def whole(self, name: str) -> int:
        """Return a field that is a whole number above zero."""
        value = self._typed(name, int, "a whole number")
        if value < 1:
            raise self.error(f"{name} {value} is below 1", "Use the configuration that the adapter was saved with")
        return value

    def number(self, name: str) -> float:
        """Return a field that is a finite number."""
        value = self._typed(name, int | float, "a number")
        if not abs(value) < LARGEST:  # JSON has whole numbers of any length, and Python reads 1e999 as infinity
            raise self.error(f"{name} is no finite number", "Use the file that it was saved with")
        return float(value)

    def rank(self, module: str) -> int:
        """Return the declared rank of a module: of rank_pattern where a key matches, else r."""
        value = self._patterned("rank_pattern", module)
        return self.whole("r") if value is None else int(value)

    def multiplier(self, module: str, rank: int) -> float:
        """Return what PEFT multiplies B A by: alpha / rank, or alpha / sqrt(rank) where it is rank-stabilised."""
        value = self._patterned("alpha_pattern", module)
        alpha = self.number("lora_alpha") if value is None else value
        return alpha / (rank**0.5 if self.true("use_rslora") else rank)

    def error(self, rule: str, remedy: str) -> CheckpointError:
        """Return an error about this file."""
        return CheckpointError(f"{self.file}: {rule}. {remedy}.")

    def _typed(self, name: str, kind: Any, said: str) -> Any:
        if name not in self.fields:
            raise self.error(f"no {name}", f"Add {name}, {said}, as the adapter was trained with")
        value = self.fields[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(f"{name} {str(value)[:40]!r} is not {said}", "Use the file that it was saved with")
        return value

    def _patterned(self, field: str, module: str) -> float | None:
        patterns = self.fields.get(field) or {}
        if not isinstance(patterns, dict) or not all(
            isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < LARGEST
            for value in patterns.values()
        ):
            raise self.error(f"{field} is no object of numbers above zero", "Use the file that it was saved with")
        for key, value in patterns.items():
            try:
                if re.match(rf"(.*\.)?({key})$", module):
                    return value
            except re.error as problem:
                raise self.error(f"{field} {key[:40]!r} is no regular expression ({problem})", "Repair it") from None
        return None


def read_config(folder: Path) -> AdapterConfig:
    """Return the configuration in an adapter's folder; raise CheckpointError where there is none that can be read."""
    return AdapterConfig(folder / NAME, read_object(folder / NAME, BYTES))

"""QuanTA (Chen et al. 2024, NeurIPS, arXiv 2406.00132) as a tuner of PEFT: y = W0 x + (T x - S x).

T is a product of small trained tensors over pairs of axes of the reshaped hidden vector, S its frozen copy from the
start; `harness.spectra.quanta` has the algebra. There is no alpha: the update is not multiplied by anything.

Departures from the authors' code. It subtracts S from the stored base weight once; here T x - S x is formed in the
forward pass, as a sum over the tensors' changes, so that the update is zero at the start to the last bit and the base
weight is never touched; that costs 3 n - 2 products of n tensors instead of n, and nearly twice the memory of
activations. It trains what has "Norm" in its name; here only `unfreeze_norms` does, in either case of letters, and on
copies, so that the adapter is saved, reloaded, disabled and unloaded as a whole. While merged, a layer keeps a copy of
its own weight, so that unmerging restores it to the last bit.

`register` must have been called before PEFT loads a saved adapter; making a `QuantaConfig` calls it.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftConfig, PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, check_adapters_to_merge
from peft.utils import ModulesToSaveWrapper, register_peft_method
from torch import nn

from harness.spectra.quanta import Quanta, default_axes, difference, fit, pairs
from harness.train.peft_type import extend


@dataclass
class QuantaConfig(PeftConfig):
    """What PEFT saves beside the tensors.

    Attributes:
        d: number of axes, each the smallest whole number whose d-th power reaches the layer's larger side.
        axes: the axes' sizes themselves, the same for every layer. Either `d` or `axes` is given.
        target_modules: names of linear layers, a regular expression, or `all-linear` for all but the head.
        exclude_modules: names that are left out.
        unfreeze_norms: whether every parameter with "norm" in its name is trained too.
        modules_to_save: other modules to train and save whole; `unfreeze_norms` adds to it.
    """

    d: int | None = None
    axes: list[int] | None = None
    target_modules: list[str] | set[str] | str | None = None
    exclude_modules: list[str] | set[str] | str | None = None
    unfreeze_norms: bool = False
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        register()
        self.peft_type = PeftType("QUANTA")
        if (self.d is None) == (self.axes is None):
            raise ValueError(f"QuantaConfig: d is {self.d} and axes is {self.axes}. Give one of the two.")
        self.axes = None if self.axes is None else list(self.axes)
        self.target_modules = _as_set(self.target_modules)
        self.exclude_modules = _as_set(self.exclude_modules)

    def axes_of(self, rows: int, columns: int) -> tuple[int, ...]:
        """Return the axes of a layer with `rows` outputs and `columns` inputs."""
        return default_axes(self.d, rows, columns) if self.d is not None else tuple(self.axes or ())


class QuantaLayer(BaseTunerLayer):
    """The tensors of one linear layer: T in `quanta_weight`, S in `quanta_start`, each a list in the order of `pairs`.

    `quanta_shape` holds (rows, columns), which the tensors of a padded layer do not tell, for readers of the file.
    """

    adapter_layer_names = ("quanta_weight",)
    other_param_names = ("quanta_start", "quanta_shape", "quanta_axes")

    def __init__(self, base_layer: nn.Module) -> None:
        self.base_layer = base_layer
        self.quanta_weight = nn.ModuleDict()
        self.quanta_start = nn.ModuleDict()
        self.quanta_shape = BufferDict(persistent=True)
        self.quanta_axes: dict[str, tuple[int, ...]] = {}
        self._disable_adapters = False
        self.merged_adapters = []
        self._unmerged: torch.Tensor | None = None
        base: Any = self.get_base_layer()
        self.in_features, self.out_features = base.in_features, base.out_features

    def update_layer(self, adapter_name: str, config: QuantaConfig) -> None:
        """Add an adapter; the tensors follow torch's current generator."""
        axes = config.axes_of(self.out_features, self.in_features)
        tensors = list(_initial(axes))
        frozen = [nn.Parameter(tensor.detach().clone(), requires_grad=False) for tensor in tensors]
        self.quanta_axes[adapter_name] = axes
        self.quanta_weight[adapter_name] = nn.ParameterList(tensors)
        self.quanta_start[adapter_name] = nn.ParameterList(frozen)
        self.quanta_shape[adapter_name] = torch.tensor([self.out_features, self.in_features])
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)
        self.freeze_start()

    def freeze_start(self) -> None:
        """Exclude S from training."""
        self.quanta_start.requires_grad_(False)

    def get_delta_weight(self, adapter: str) -> torch.Tensor:
        """Return the update as a dense float64 matrix (rows, columns)."""
        return quanta_update(self, adapter).dense()


class QuantaLinear(nn.Module, QuantaLayer):
    """A linear layer with QuanTA beside it."""

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: QuantaConfig) -> None:
        super().__init__()
        QuantaLayer.__init__(self, base_layer)
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return W0 x + bias + sum of (T x - S x) over the active adapters, in the dtype of the base layer's output."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return result
        for name in self.active_adapters:
            if name in self.quanta_weight:
                result = result + self._change(name, x).to(result.dtype)
        return result

    def _change(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Return T x - S x in the dtype of the tensors.

        Not as a difference of two products: those of equal tensors are not equal to the last bit, because matrix
        products choose their kernel by which of the factors needs a gradient (seen with torch 2.13 and four axes).
        """
        tensors, frozen = _listed(self.quanta_weight[name]), _listed(self.quanta_start[name])
        axes = self.quanta_axes[name]
        inputs = fit(self._cast_input_dtype(x, tensors[0].dtype), math.prod(axes))
        return fit(difference(tensors, frozen, axes, inputs), self.out_features)

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the updates to the base weight, rounding once; `safe_merge` raises ValueError where the sum overflows."""
        weight: torch.Tensor = self.weight
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in self.quanta_weight]
        for name in names:
            change = self.get_delta_weight(name)
            merged = (weight.data.to(change.device, change.dtype) + change).to(weight.device, weight.dtype)
            if safe_merge and not torch.isfinite(merged).all():
                raise ValueError(f"adapter {name}: the merged weight holds NaN or infinity. Do not merge it.")
            self._unmerged = weight.data.clone() if self._unmerged is None else self._unmerged
            weight.data = merged
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Put the base weight back, to the last bit."""
        if self._unmerged is None:
            warnings.warn("QuanTA: the layer is not merged, so there is nothing to unmerge.", stacklevel=2)
            return
        self.weight.data = self._unmerged.to(self.weight.device)
        self._unmerged = None
        self.merged_adapters.clear()

    def __repr__(self) -> str:
        return f"quanta.{super().__repr__()}"


class QuantaModel(BaseTuner):
    """A model whose targeted linear layers carry QuanTA."""

    prefix = "quanta_"
    tuner_layer_cls = QuantaLayer
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012  # PEFT declares it on the instance

    def _prepare_model(self, peft_config: Any, model: nn.Module) -> None:
        if peft_config.unfreeze_norms:
            peft_config.modules_to_save = sorted({*(peft_config.modules_to_save or ()), *_norms(model)})

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, QuantaLayer):
            target.update_layer(adapter_name, peft_config)
            return
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        if not isinstance(base, nn.Linear):
            kind = type(base).__name__
            raise TypeError(f"QuanTA cannot adapt {current_key}, a {kind}. Target layers of type torch.nn.Linear only.")
        layer = QuantaLinear(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def _mark_only_adapters_as_trainable(self, model: nn.Module) -> None:
        super()._mark_only_adapters_as_trainable(model)
        for module in model.modules():
            if isinstance(module, QuantaLayer):
                module.freeze_start()

    def unload(self) -> nn.Module:
        """Return the base model with its own norms, which PEFT would leave trained."""
        for module in self.model.modules():
            if isinstance(module, ModulesToSaveWrapper):
                module.set_adapter([])
        return super().unload()


def register() -> None:
    """Make QuanTA known to PEFT, once."""
    kind = extend(PeftType, "QUANTA", "QUANTA")
    if kind not in PEFT_TYPE_TO_CONFIG_MAPPING:
        register_peft_method(name="quanta", config_cls=QuantaConfig, model_cls=QuantaModel, prefix="quanta_")


def quanta_update(layer: QuantaLayer, adapter: str = "default") -> Quanta:
    """Return the layer's update for spectra, sharing its tensors' memory where their device has float64."""
    tensors, frozen = (
        tuple(t.detach().cpu() if t.device.type == "mps" else t.detach() for t in _listed(held[adapter]))
        for held in (layer.quanta_weight, layer.quanta_start)
    )
    return Quanta(tensors, frozen, layer.quanta_axes[adapter], layer.out_features, layer.in_features)


def _initial(axes: tuple[int, ...]) -> Iterator[nn.Parameter]:
    """Yield the tensors at the start: uniform within sqrt(3 / inputs), each seen as a matrix of its two axes."""
    for i, j in pairs(len(axes)):
        matrix = torch.empty(axes[j] * axes[i], axes[j] * axes[i])
        nn.init.kaiming_uniform_(matrix, a=math.sqrt(5), nonlinearity="linear")  # whose gain is 1 whatever `a`
        yield nn.Parameter(matrix.view(axes[j], axes[i], axes[j], axes[i]))


def _norms(model: nn.Module) -> set[str]:
    """Return the modules that own a parameter with "norm" in its name, by their names before any adapter."""
    owners = {name.rpartition(".")[0] for name, _ in model.named_parameters() if "norm" in name.lower()}
    names = {owner.split(".original_module")[0].split(".modules_to_save")[0] for owner in owners}
    if "" in names:
        raise ValueError("unfreeze_norms: the model itself owns a parameter named norm. Put it in a module of its own.")
    return names


def _listed(tensors: Any) -> list[torch.Tensor]:
    return list(tensors)


def _as_set(names: Any) -> Any:
    return set(names) if isinstance(names, list) else names

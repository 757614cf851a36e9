"""What TRL's engine would change unasked: the frozen base at every hand-over of weights, and the seed of sampling.

To hand its weights to vLLM, TRL merges the adapter into the base and takes it out again, in the base's own type. In
bfloat16 the base does not come back: both additions round, and what is lost adds up over updates (TRL issue 6688), so
that the saved adapter on a clean base would not be the policy that was trained. Here the weights that a merge touches
are copied before the first one and put back after each, to the last bit. The copies lie in the host's memory, as much
as the adapted matrices take: about 14 GiB for a model of 8 billion parameters in bfloat16.

TRL also starts every engine with the number of its process as seed, so that all runs would sample from one stream; here
it is the run's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class BaseGuard:
    """Puts the frozen base of a policy back after each merge; says how often, and what would have been left.

    Does nothing, and takes no memory, where nobody merges.
    """

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        self._pristine: dict[str, torch.Tensor] = {}
        self._syncs = 0
        self._drifted = 0.0
        if hasattr(policy, "merge_adapter"):
            self._merge, self._unmerge = policy.merge_adapter, policy.unmerge_adapter
            policy.merge_adapter, policy.unmerge_adapter = self._kept, self._restored

    def facts(self) -> dict[str, Any] | None:
        """Return how often weights were handed over, and the largest share of them that one would have changed."""
        return {"count": self._syncs, "drift_undone": self._drifted} if self._syncs else None

    @torch.no_grad()
    def _kept(self, *given: Any, **more: Any) -> Any:
        """Merge, after a copy of what it touches."""
        for name, weight in self._frozen():
            if name not in self._pristine:
                copy = weight.detach().to("cpu", copy=True)
                self._pristine[name] = copy.pin_memory() if weight.is_cuda else copy
        return self._merge(*given, **more)

    @torch.no_grad()
    def _restored(self, *given: Any, **more: Any) -> Any:
        """Unmerge, and put back what that does not restore."""
        result = self._unmerge(*given, **more)
        changed = total = 0
        for name, weight in self._frozen():
            pristine = self._pristine[name].to(weight.device, non_blocking=True)
            changed += int((weight != pristine).sum())
            total += weight.numel()
            weight.copy_(pristine)
        self._syncs += 1
        self._drifted = max(self._drifted, changed / total if total else 0.0)
        return result

    def _frozen(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the weights of the layers that carry an adapter: what a merge changes."""
        for name, parameter in self._policy.named_parameters():
            if ".base_layer." in name and not parameter.requires_grad:
                yield name, parameter


@contextmanager
def seeded_engine(seed: int) -> Iterator[None]:
    """Have TRL start its vLLM engine with the run's own seed; nothing where vLLM is not installed."""
    from trl.generation import vllm_generation

    engine: Any = getattr(vllm_generation, "LLM", None)
    if engine is None:
        yield
        return

    def started(*given: Any, **more: Any) -> Any:
        return engine(*given, **{**more, "seed": seed})

    setattr(vllm_generation, "LLM", started)  # noqa: B010  # a name that the module has only beside vLLM
    try:
        yield
    finally:
        setattr(vllm_generation, "LLM", engine)  # noqa: B010  # likewise

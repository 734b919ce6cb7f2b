"""Where a training runs: one process without ado, or through Hugging Face Accelerate on one or many.

On W processes every process makes the whole batch and keeps rows [r B / W, (r + 1) B / W) of it, so that a batch is the same for any W.
After the backward pass the gradients are averaged (`gradient`). Contrastive losses gather the embeddings of all processes
(`objectives.gather_rows`). Models are not wrapped: an objective may call any of a model's methods. Batch normalisation sees the rows
of its process; its statistics are those of the first one, as in torch's DistributedDataParallel. Gradients travel after the backward
pass, in one message, and not during it.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from antivenom.errors import AntivenomError
from antivenom.train.recipe import Recipe

__all__ = ["Accelerated", "OneProcess", "processes"]


class OneProcess:
    """This process on one device."""

    world, rank, main = 1, 0, True

    def __init__(self, recipe: Recipe):
        self.device = torch.device(recipe.device)
        self.half = recipe.precision == "bf16"

    def autocast(self) -> Any:
        """The context of the forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.half else nullcontext()

    def share(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """This process's rows, on its device."""
        return {name: value.to(self.device) for name, value in batch.items()}

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Replace the tensors by their sums over all processes."""

    def lead(self, model: Any) -> None:
        """Weights and buffers as the first process has them."""

    def follow(self, model: Any) -> None:
        """Buffers as the first process has them."""

    def states(self, state: Tensor) -> list[Tensor]:
        """The state of every process's generator."""
        return [state]

    def wait(self) -> None:
        """Until all processes are here."""


class Accelerated(OneProcess):
    """The processes of an `accelerate.Accelerator`."""

    def __init__(self, recipe: Recipe, accelerator: Any):
        super().__init__(recipe)
        from accelerate.utils import DistributedType

        kinds = DistributedType
        if accelerator.distributed_type not in (kinds.NO, kinds.MULTI_CPU, kinds.MULTI_GPU):
            raise AntivenomError(
                f"processes of the kind {accelerator.distributed_type.value}",
                "the loop averages whole gradients: NO, MULTI_CPU, MULTI_GPU",
            )
        wanted = {"fp32": "no", "bf16": "bf16"}[recipe.precision]
        if accelerator.mixed_precision != wanted or accelerator.device.type != self.device.type:
            raise AntivenomError(
                f"an Accelerator with the precision {accelerator.mixed_precision} on {accelerator.device.type}, and a recipe for "
                f"{recipe.precision} on {recipe.device}",
                "give both the same",
            )
        self.accelerator, self.device = accelerator, accelerator.device
        self.world, self.rank = accelerator.num_processes, accelerator.process_index
        self.main = accelerator.is_main_process

    def autocast(self) -> Any:
        """The accelerator's own."""
        return self.accelerator.autocast()

    def share(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The rows of this rank, on its device."""
        rows = len(next(iter(batch.values())))
        each = rows // self.world
        part = slice(self.rank * each, (self.rank + 1) * each)
        return {
            name: (value[part] if value.ndim and len(value) == rows else value).to(self.device)
            for name, value in batch.items()
        }

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """One message per type of number."""
        if self.world == 1:
            return
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault(tensor.dtype, []).append(tensor)
        for group in kinds.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in group])
            torch.distributed.all_reduce(flat)
            at = 0
            for tensor in group:
                tensor.copy_(flat[at : at + tensor.numel()].view_as(tensor))
                at += tensor.numel()

    def lead(self, model: Any) -> None:
        """Weights and buffers as the first process has them."""
        if self.world > 1:
            for value in model.state_dict().values():
                torch.distributed.broadcast(value, 0)

    def follow(self, model: Any) -> None:
        """Buffers as the first process has them."""
        if self.world > 1:
            for buffer in model.buffers():
                torch.distributed.broadcast(buffer, 0)

    def states(self, state: Tensor) -> list[Tensor]:
        """The state of every process's generator, on every process."""
        if self.world == 1:
            return [state]
        own = state.to(self.device)
        found = [torch.empty_like(own) for _ in range(self.world)]
        torch.distributed.all_gather(found, own)
        return [one.cpu() for one in found]

    def wait(self) -> None:
        """Until all processes are here."""
        self.accelerator.wait_for_everyone()


def processes(recipe: Recipe, accelerator: Any = None) -> OneProcess:
    """The processes that a recipe asks for.

    Raises:
        AntivenomError: when Accelerate was set up otherwise before, or for a kind of processes that is not supported.
        MissingExtra: without Accelerate.
    """
    if accelerator is None and not recipe.accelerate:
        return OneProcess(recipe)
    if accelerator is None:
        from antivenom.models.torch_runtime import require_torch

        require_torch("training through Accelerate", "accelerate")
        from accelerate import Accelerator

        try:
            accelerator = Accelerator(
                cpu=torch.device(recipe.device).type == "cpu",
                mixed_precision="bf16" if recipe.precision == "bf16" else "no",
            )
        except ValueError as error:  # Accelerate keeps one state per process
            raise AntivenomError(
                f"Accelerate is set up otherwise in this process: {str(error).splitlines()[0]}",
                "give fit that Accelerator, or a recipe of the same device and precision",
            ) from error
    return Accelerated(recipe, accelerator)

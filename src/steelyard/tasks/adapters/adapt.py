"""Putting an adapter on a backbone: which layers, which kind, and nothing else trained."""

from __future__ import annotations

import copy
import dataclasses
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import nn

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.settings.text import read_call

WITHOUT = ("none", "full")
"""No adapter: only the classifier learns, or everything does."""
LORAS: dict[str, dict[str, Any]] = {
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
}
"""Variants that peft knows as settings of LoRA."""
OWN_LOOP = {
    "adalora": "its ranks follow a schedule that only a loop of its own keeps",
    "xlora": "it mixes adapters that are trained already",
    "poly": "it needs the number of the task with each batch",
}
"""Kinds that a plain training loop cannot train, and why."""
GROUPS: dict[str, tuple[type[nn.Module], ...]] = {
    "linear": (nn.Linear,),
    "conv": (nn.Conv2d,),
    "all": (nn.Linear, nn.Conv2d),
}
RANK = 8
LORA = "pip install 'steelyard[lora]'"


@dataclass(frozen=True)
class Adapter:
    """What is put on a backbone.

    Attributes:
        kind: "lora", "dora", "rslora", "pissa", "olora", or the name of any other kind of adapter that peft has ("loha",
            "lokr", "ia3", "oft", "hra", "vera", ...), with peft's own settings behind it where needed:
            "boft(boft_block_size=2)". "none" trains the classifier alone (a linear probe), "full" the whole backbone.
        rank: r, 1 or more; None for 8, and for kinds without a rank.
        alpha: the update is scaled by alpha / r; None for 2 r where peft's kind is a LoRA, else for peft's default.
        dropout: share of an adapter's inputs that is dropped in training, in [0, 1).
        targets: which layers: "linear", "conv" or "all", or names of layers, of which the last parts are enough ("q_proj").

    Raises:
        ArgumentError: a number out of range, or a setting that would do nothing.

    Example:
        >>> Adapter("lora", rank=4).scale
        2.0
    """

    kind: str = "lora"
    rank: int | None = None
    alpha: float | None = None
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "linear"

    def __post_init__(self) -> None:
        checks = (
            ("rank", self.rank is None or self.rank >= 1, "at least 1, or none"),
            ("alpha", self.alpha is None or self.alpha > 0, "above 0, or none"),
            ("dropout", 0 <= self.dropout < 1, "a share in [0, 1)"),
            ("targets", len(self.targets) > 0, "'linear', 'conv', 'all' or names of layers"),
        )
        for name, holds, expected in checks:
            if not holds:
                raise ArgumentError(name, expected, repr(getattr(self, name)))
        if self.kind in WITHOUT:
            usual = Adapter()
            for name in ("rank", "alpha", "dropout", "targets"):
                if getattr(self, name) != getattr(usual, name):
                    raise ArgumentError(name, f"left out, as adapter={self.kind} adds no layers", repr(getattr(self, name)))

    @property
    def scale(self) -> float:
        """By how much the update of a plain LoRA is scaled: alpha / r."""
        rank = self.rank or RANK
        return (2.0 * rank if self.alpha is None else self.alpha) / rank


def attach(backbone: nn.Module, adapter: Adapter) -> nn.Module:
    """A copy of a backbone with an adapter, of which only the adapter's parameters ask for gradients.

    The weights of new layers are drawn from torch's global generator.

    Args:
        backbone: stays as it is.
        adapter: of any kind; "none" freezes the whole copy, "full" nothing of it.

    Raises:
        ArgumentError: the backbone has no such layers, or peft cannot adapt it so.
        UnknownName: no layer, or no kind of adapter, of that name.
        SteelyardError: peft is not installed.

    Example:
        >>> adapted = attach(nn.Sequential(nn.Linear(6, 4)), Adapter(rank=2))
        >>> sum(p.numel() for p in adapted.parameters() if p.requires_grad)  # r (d_in + d_out)
        20
    """
    encoder = copy.deepcopy(backbone)
    encoder.requires_grad_(adapter.kind == "full")
    if adapter.kind in WITHOUT:
        return encoder
    peft = _peft()
    config = configuration(peft, adapter, layers_in(encoder, adapter.targets))
    try:
        tuner: nn.Module = peft.get_peft_model(encoder, config).base_model
    except (ValueError, NotImplementedError, RuntimeError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArgumentError("adapter", "one that peft can put on this backbone", f"'{adapter.kind}' ({reason})") from error
    _avoid_fast_path(tuner)
    return tuner


def layers_in(encoder: nn.Module, wanted: str | tuple[str, ...]) -> list[str]:
    """The full names of the layers that are meant, in module order.

    The output layer inside an `nn.MultiheadAttention` is left out of groups: torch reads its weight without calling it, so an
    adapter there would do nothing.

    Args:
        encoder: a backbone.
        wanted: "linear", "conv", "all", one name, or several; a name may be the last parts of a layer's full name.

    Raises:
        ArgumentError: there are no layers of the group.
        UnknownName: no layer is called so; the message has the real names.
    """
    able = {name: module for name, module in encoder.named_modules() if isinstance(module, GROUPS["all"])}
    inside = [name for name, module in encoder.named_modules() if isinstance(module, nn.MultiheadAttention)]
    able = {name: module for name, module in able.items() if name.rpartition(".")[0] not in inside}
    if isinstance(wanted, str) and wanted in GROUPS:
        found = [name for name, module in able.items() if isinstance(module, GROUPS[wanted])]
        if not found:
            raise ArgumentError("targets", _what_there_is(able), f"'{wanted}', and it has no such layers")
        return found
    asked = (wanted,) if isinstance(wanted, str) else wanted
    endings = sorted({name.rpartition(".")[2] for name in able})
    chosen = set[str]()
    for part in asked:
        named = {name for name in able if name == part or name.endswith(f".{part}")}
        if not named:
            raise UnknownName("layer of the backbone", part, endings)
        chosen |= named
    return [name for name in able if name in chosen]


def _what_there_is(able: dict[str, nn.Module]) -> str:
    there = [group for group in ("linear", "conv") if any(isinstance(module, GROUPS[group]) for module in able.values())]
    if there:
        return f"'{there[0]}' for this backbone, or names of its layers"
    return (
        "left out, with adapter=none or adapter=full, as this backbone has neither linear layers nor convolutions that could "
        "be adapted"
    )


def configuration(peft: ModuleType, adapter: Adapter, layers: list[str]) -> Any:
    """The configuration of an adapter that peft takes.

    Args:
        peft: the library.
        adapter: its kind and numbers.
        layers: full names of the layers.

    Raises:
        UnknownName: peft has no such kind, or the kind no such setting.
        ArgumentError: the kind cannot be used here, or has no use for a setting.
    """
    kind, own = read_call(adapter.kind)
    base = "lora" if kind in LORAS else kind
    made = _configurations(peft)
    if base in OWN_LOOP:
        raise ArgumentError("adapter", "a kind that the usual loop can train", f"'{kind}': {OWN_LOOP[base]}")
    if base not in made:
        raise UnknownName("adapter", kind, [*WITHOUT, *LORAS, *sorted(set(made) - set(OWN_LOOP))])
    known = {field.name for field in dataclasses.fields(made[base])}
    for name in own:
        if name not in known:
            raise UnknownName(f"setting of {kind}", name, sorted(known))
    values = LORAS.get(kind, {}) | _numbers(adapter, kind, base, known)
    values |= {"target_modules": "(" + "|".join(map(re.escape, layers)) + ")"} | own
    try:
        return made[base](**values)
    except (TypeError, ValueError) as error:
        raise ArgumentError("adapter", "one with settings that peft takes", f"'{adapter.kind}' ({error})") from error


def _numbers(adapter: Adapter, kind: str, base: str, known: set[str]) -> dict[str, Any]:
    """Rank, alpha and dropout under the names that the kind has for them."""
    rank = "r" if "r" in known else None
    alpha = next((name for name in ("lora_alpha", "alpha") if name in known), None)
    dropout = next((name for name in (f"{base}_dropout", "lora_dropout", "module_dropout") if name in known), None)
    asked = (
        ("rank", rank, adapter.rank is not None),
        ("alpha", alpha, adapter.alpha is not None),
        ("dropout", dropout, adapter.dropout > 0),
    )
    for name, there, given in asked:
        if given and there is None:
            raise ArgumentError(name, f"left out, as '{kind}' has none", getattr(adapter, name))
    values: dict[str, Any] = {} if rank is None else {rank: adapter.rank or RANK}
    if base == "oft":
        values["oft_block_size"] = 0  # peft takes either
    if base == "ia3":
        values["feedforward_modules"] = []  # outputs are scaled everywhere, unless the user says otherwise
    if alpha is not None and (base == "lora" or adapter.alpha is not None):
        values[alpha] = adapter.scale * (adapter.rank or RANK)
    if dropout is not None and adapter.dropout > 0:
        values[dropout] = adapter.dropout
    return values


def _configurations(peft: ModuleType) -> dict[str, type]:
    """The configurations that peft has of adapters that sit on layers, by their names in small letters."""
    made: dict[Any, type] = peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING
    fields = {key.value.lower(): {field.name for field in dataclasses.fields(made[key])} for key in made}
    learning = peft.PromptLearningConfig
    layered = {key: kind for key, kind in made.items() if not issubclass(kind, learning)}
    return {key.value.lower(): kind for key, kind in layered.items() if "target_modules" in fields[key.value.lower()]}


def _avoid_fast_path(encoder: nn.Module) -> None:
    """Keep torch's transformer layers from their fast path, which in evaluation reads weights without calling the layers."""
    for module in encoder.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0


def _peft() -> ModuleType:
    try:
        import peft
        import peft.mapping
    except ImportError as error:
        raise SteelyardError(f"adapters need the package {error.name or 'peft'}: {LORA}") from error
    return peft

"""A base that exists: a model of the Hugging Face Hub at one revision, or a folder of the project, and its shape."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.spec.cell import CheckpointName
from harness.spec.code import Sha256
from harness.spec.declared import Declared, FieldError, unset
from harness.spec.problem import shown
from harness.spec.scaling import PositiveFloat

COMMIT = re.compile(r"[0-9a-f]{40}")
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,254}", re.ASCII)


def _commit(value: str) -> str:
    if not COMMIT.fullmatch(value):
        raise ValueError(f"{shown(value)} is no commit of 40 hexadecimal digits. Leave it out: it is filled in.")
    return value


def _repo(value: str) -> str:
    if not _REPO.fullmatch(value) or ".." in value or "--" in value:
        raise ValueError(f"{shown(value)} is no name of a model on the Hub. Write ORG/NAME.")
    return value


def _revision(value: str) -> str:
    if not _REVISION.fullmatch(value) or ".." in value:
        raise ValueError(f"{shown(value)} is no revision of a model. Name a branch, a tag or a commit.")
    return value


Commit = Annotated[str, AfterValidator(_commit)]


class Shape(Declared):
    """The shape of a model that exists elsewhere, by the names of its config.json, which is checked against it.

    Declared, so that runs can be counted and costed without a network.
    """

    architecture: Literal["llama", "qwen3", "olmo2", "olmo3", "gpt_neox"]
    """`model_type`: the architectures whose loading is tried; code that a model brings is never run."""
    hidden_size: Annotated[int, Field(ge=8, le=65536)]
    layers: Annotated[int, Field(ge=1, le=512)]
    intermediate_size: Annotated[int, Field(ge=8, le=262144)]
    heads: Annotated[int, Field(ge=1, le=512)]
    kv_heads: Annotated[int | None, Field(ge=1, le=512)] = None
    """Heads of keys and values; all of them where left out."""
    head_dim: Annotated[int | None, Field(ge=2, le=4096)] = None
    """Width of a head; the hidden size over the heads where left out."""
    vocabulary: Annotated[int, Field(ge=2, le=2**22)]
    """Rows of the embedding, padding included."""
    tied: bool = False
    """Whether the head is the embedding."""

    @model_validator(mode="after")
    def _heads_fit(self) -> "Shape":
        if self.heads % self.key_heads:
            raise FieldError("kv_heads", f"{self.kv_heads} do not divide {self.heads} heads into groups. Change one.")
        if self.head_dim is None and self.hidden_size % self.heads:
            rule = f"{self.heads} heads do not divide a width of {self.hidden_size}. Change one, or declare head_dim."
            raise FieldError("heads", rule)
        return self

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def head_width(self) -> int:
        """Width of a head."""
        return self.head_dim or self.hidden_size // self.heads

    def matrices(self) -> tuple[tuple[int, int], ...]:
        """Return (rows, columns) of every linear layer of one block: what all-linear adapts."""
        h, f, q, k = (
            self.hidden_size,
            self.intermediate_size,
            self.heads * self.head_width,
            self.key_heads * self.head_width,
        )
        if self.architecture == "gpt_neox":  # queries, keys and values in one; no gate
            return ((3 * h, h), (h, h), (f, h), (h, f))
        return ((q, h), (k, h), (k, h), (h, q), (f, h), (f, h), (h, f))

    def parameters(self) -> int:
        """Return how many parameters the model has: embeddings, blocks with their norms and biases, head."""
        h, blocks = self.hidden_size, self.layers * sum(rows * columns for rows, columns in self.matrices())
        embeddings = self.vocabulary * h * (1 if self.tied else 2)
        if self.architecture == "gpt_neox":  # biases of four layers, and two layer norms with theirs
            biases = sum(rows for rows, _ in self.matrices())
            return embeddings + blocks + self.layers * (biases + 4 * h) + 2 * h
        of_heads = {
            "llama": 0,
            "qwen3": 2 * self.head_width,  # one norm for all heads
            "olmo2": (self.heads + self.key_heads) * self.head_width,
            "olmo3": (self.heads + self.key_heads) * self.head_width,
        }[self.architecture]
        return embeddings + blocks + self.layers * (2 * h + of_heads) + h


class SeenTokens(Declared):
    """How many tokens a model is reported to have seen in pre-training, and who says so."""

    count: PositiveFloat
    source: Annotated[str, Field(min_length=10, max_length=300)]


class HubCheckpoint(Declared):
    """Another model of the shape and family of a base that exists: the fields in which it departs from the base's own.

    `revision` is one of the base's repository, or of `hub`, where pre-training from another seed has a repository of
    its own; or it lies in a `folder`. One that is a `replicate` is an independent base of its family: claims that
    combine bases take all of a family's.
    """

    hub: Annotated[Annotated[str, AfterValidator(_repo)] | None, Field(exclude_if=unset(None))] = None
    revision: Annotated[Annotated[str, AfterValidator(_revision)] | None, Field(exclude_if=unset(None))] = None
    folder: Annotated[Annotated[str, Field(min_length=1, max_length=300)] | None, Field(exclude_if=unset(None))] = None
    commit: Annotated[Commit | None, Field(exclude_if=unset(None))] = None
    content: Annotated[Sha256 | None, Field(exclude_if=unset(None))] = None
    stage: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    tokens: SeenTokens | None = None
    replicate: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> "HubCheckpoint":
        if self.folder is None:
            _on_the_hub(self)
        elif self.hub is not None:
            raise FieldError("hub", "both of hub and folder are declared. Declare one of them.")
        else:
            _in_a_folder(self)
        return self


class HubBase(Declared):
    """A base that exists: a model of the Hugging Face Hub at one revision, or a folder of the project.

    What identifies it is `hub` with the commit that `revision` names, or the bytes in `folder`. A branch or tag may
    move, so `register` and `run` resolve it once and keep what they found; until then its ids are provisional.
    `commit` and `content` are filled in then, or declared. `prompting: chat` puts each prompt into the chat template
    of the same revision. `checkpoints` names other models of its shape: `olmo@early` is the checkpoint `early` of the
    base `olmo`.
    """

    hub: Annotated[str, AfterValidator(_repo)] | None = None
    revision: Annotated[str, AfterValidator(_revision)] | None = None
    folder: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    commit: Annotated[Commit | None, Field(exclude_if=unset(None))] = None
    content: Annotated[Sha256 | None, Field(exclude_if=unset(None))] = None
    family: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    stage: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Where in its training the checkpoint stands, in words."""
    tokens: SeenTokens | None = None
    prompting: Literal["plain", "chat"] = "plain"
    shape: Shape
    checkpoints: Annotated[dict[CheckpointName, HubCheckpoint], Field(max_length=256, exclude_if=unset({}))] = Field(
        default_factory=dict[CheckpointName, HubCheckpoint]
    )

    @model_validator(mode="after")
    def _one_place(self) -> "HubBase":
        if (self.hub is None) == (self.folder is None):
            raise FieldError("hub", "neither or both of hub and folder are declared. Declare one of them.")
        if self.hub is not None:
            _on_the_hub(self)
        else:
            _in_a_folder(self)
            if nowhere := [name for name, point in self.checkpoints.items() if not (point.folder or point.hub)]:
                rule = f"{nowhere[0]} is a revision, and this base is a folder. Name its hub, or a folder."
                raise FieldError("checkpoints", rule)
        return self

    def at(self, checkpoint: str) -> "HubBase":
        """Return one of the checkpoints as a base; raise KeyError where there is none of this name."""
        point = self.checkpoints[checkpoint]
        hub = None if point.folder else point.hub or self.hub
        own = {name: getattr(point, name) for name in ("revision", "folder", "commit", "content", "stage", "tokens")}
        return self.model_copy(update={**own, "hub": hub, "checkpoints": {}})

    def pinned(self, pin: str) -> "HubBase":
        """Return the base with the commit, or the hash of the folder, that it was resolved to."""
        return self.model_copy(update={"commit" if self.hub is not None else "content": pin})

    def with_pinned(self, checkpoint: str, pin: str) -> "HubBase":
        """Return the base with what one of its checkpoints was resolved to."""
        point = self.checkpoints[checkpoint]
        found = point.model_copy(update={"content" if point.folder else "commit": pin})
        return self.model_copy(update={"checkpoints": {**self.checkpoints, checkpoint: found}})

    @property
    def pin(self) -> str | None:
        """What fixes the weights: the commit, or the hash of the folder's files; None where not resolved yet."""
        if self.hub is None:
            return self.content
        return self.commit or (self.revision if self.revision and COMMIT.fullmatch(self.revision) else None)

    @property
    def place(self) -> str:
        """The model as messages name it."""
        return f"{self.hub}@{self.revision}" if self.hub is not None else str(self.folder)

    def identity(self) -> dict[str, str]:
        """Return what identifies the base; where it is not resolved, what will be, under other names."""
        named = {"hub": self.hub} if self.hub else {}
        if self.pin is None:
            named |= {"unresolved": self.revision or str(self.folder)}
        else:
            named |= {"commit" if self.hub else "content": self.pin}
        return {**named, "prompting": self.prompting}

    def slug(self) -> str:
        """Return the readable part of an id: the model's own name, and the revision where it is no branch `main`."""
        name = (self.hub or str(self.folder)).rsplit("/", 1)[-1]
        named = "" if self.revision in (None, "main") else f"-{_short(str(self.revision))}"
        return re.sub(r"[^a-z0-9.]+", "-", f"{name}{named}".lower()).strip("-.")[:60]

    def budget(self) -> str:
        """Return what the base was trained on, in words: bases of equal budget are compared with each other."""
        return f"{self.tokens.count:g} tokens" if self.tokens else self.stage or self.place

    def in_words(self) -> str:
        """Return the base as a card names it."""
        return self.place if self.pin is None or self.pin == self.revision else f"{self.place} ({self.pin[:12]})"


def _short(revision: str) -> str:
    return revision[:7] if COMMIT.fullmatch(revision) else revision


def _on_the_hub(base: HubBase | HubCheckpoint) -> None:
    if base.revision is None:
        raise FieldError("revision", "missing: a model on the Hub has many. Name a branch, a tag or a commit.")
    if base.content is not None:
        raise FieldError("content", "is the hash of a folder, and this base is on the Hub. Remove it.")
    if COMMIT.fullmatch(base.revision) and base.commit not in (None, base.revision):
        raise FieldError("commit", f"{base.commit} is not revision {base.revision}. Remove one of them.")


def _in_a_folder(base: HubBase | HubCheckpoint) -> None:
    for name in ("revision", "commit"):
        if getattr(base, name) is not None:
            raise FieldError(name, "belongs to a model on the Hub, and this base is a folder. Remove it.")
    path = PurePosixPath(str(base.folder))
    if path.is_absolute() or ".." in path.parts or "\\" in str(base.folder) or not str(path).isprintable():
        raise FieldError("folder", f"{shown(base.folder)} leads out of the project. Copy the model into it.")

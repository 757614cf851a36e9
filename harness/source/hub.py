"""Models of the Hugging Face Hub: which commit a revision names, and the folder that holds one commit.

Of a model only what its weights and words take is fetched: safetensors, JSON, a chat template, merges, at the top of
the repository. Pickles and code are never downloaded. Without a connection, what was downloaded before is found in the
library's own cache.
"""

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.spec.problem import shown
from harness.spec.secrets import without_secrets

WEIGHTS = ("*.safetensors", "*.json")
MODEL = (*WEIGHTS, "*.jinja", "merges.txt", "vocab.txt")
"""What a model that is to be trained takes: its tokenizer and chat template besides."""
LEFT = ("*/*", "consolidated*")
"""Subfolders (other formats, other adapters), and a second copy of the weights in some repositories."""
COMMIT = re.compile(r"[0-9a-f]{40}")
SECONDS = 20.0


class HubError(Exception):
    """A model that cannot be had from the Hub; the text names it, the reason and the remedy in one line."""


def commit_of(repo: str, revision: str, otherwise: str = "") -> str | None:
    """Return the commit that a revision names now, or None where the Hub gives no answer.

    `otherwise` is said before "no such model", for who could have meant something else.

    Raises:
        HubError: no such model or revision, one that is not open to this user, or one without safetensors; or an answer
            that is none.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    named = f"{repo}@{revision}"
    try:
        info = HfApi().model_info(repo, revision=revision, timeout=SECONDS)
    except GatedRepoError:
        rule = "its authors ask for consent first"
        raise HubError(f"{named}: {rule}. Give it on the model's page, then `hf auth login`.") from None
    except RevisionNotFoundError:
        raise HubError(f"{named}: no such revision of this model. Name a branch, tag or commit.") from None
    except RepositoryNotFoundError:
        rule = f"{otherwise}no such model on the Hub, or a private one"
        raise HubError(f"{named}: {rule}. Check the name, or `hf auth login`.") from None
    except HFValidationError as error:
        raise HubError(f"{named}: no name of a model ({_line(error)}). Check it.") from None
    except Exception:  # offline mode, no route, a proxy, a server's error: each of another library's types
        return None
    files = [sibling.rfilename for sibling in info.siblings or []]
    if not any(name.endswith(".safetensors") and "/" not in name for name in files):
        rule = "no safetensors file at its top, and nothing else is read"
        raise HubError(f"{named}: {rule}. Convert it, or name another revision.")
    if info.sha is not None and not COMMIT.fullmatch(info.sha):  # it becomes the name of a folder
        raise HubError(f"{named}: the Hub names {shown(info.sha)}, which is not a commit. Check HF_ENDPOINT.")
    return info.sha


def snapshot(
    repo: str, revision: str, *, online: bool, kept: Sequence[str] = MODEL, bars: bool = False, otherwise: str = ""
) -> Path:
    """Return the folder of one commit, by whose name it is called; what is there already is not downloaded again.

    `otherwise` is said before "no answer", for who could have meant something else.

    Raises:
        HubError: the download failed, or there is no connection and no copy.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    if not bars:
        disable_progress_bars()
    download: Any = import_module("huggingface_hub").snapshot_download  # by name: its overloads are typed in part
    try:
        return Path(
            download(
                repo,
                revision=revision,
                allow_patterns=list(kept),
                ignore_patterns=list(LEFT),
                local_files_only=not online,
            )
        )
    except Exception as error:  # as above
        if online:
            rule, remedy = f"the download failed ({_line(error)})", "Repeat the command; it goes on from here"
        else:
            rule = f"{otherwise}no answer from the Hub and no copy in {constants.HF_HUB_CACHE}"
            remedy = (
                "Check the name, or connect this machine" if otherwise else "Connect this machine, or name a folder"
            )
        raise HubError(f"{repo}@{revision}: {rule}. {remedy}.") from None


def _line(error: Exception) -> str:
    return " ".join(without_secrets(str(error)).split()).rstrip(".")[:160] or type(error).__name__

"""Secrets in text: what must not enter a run directory, a log or a report is replaced by where it came from.

Known are the values of variables of the environment whose names say that they are secret, users and passwords in
addresses, and the forms of common tokens. A secret under another name, or in another form, is not known; nor is what a
program writes without passing this.
"""

import json
import os
import re
from collections.abc import Mapping
from urllib.parse import quote

NAMED = re.compile(
    r"(^|_)(TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEYS?|ACCESS_KEYS?|ACCESS_KEY_ID|PRIVATE_KEYS?"
    r"|SIGNING_KEY|ENCRYPTION_KEY|AUTH|AUTHORIZATION|COOKIES?|SESSION_ID|DSN|SAS)($|_)",
    re.IGNORECASE,
)
"""Names of variables that hold secrets: HF_TOKEN, WANDB_API_KEY, AWS_SECRET_ACCESS_KEY, ..."""
PLAIN = re.compile(r"PARALLELISM|TOKENIZER|_(PATH|FILE|DIR|LIMIT|TYPE|EXPIRATION|SOCK)$", re.IGNORECASE)
"""Names that only sound alike: TOKENIZERS_PARALLELISM, HF_TOKEN_PATH, SSH_AUTH_SOCK."""
SHORTEST = 8
"""Characters below which a value is no secret that anybody could find again in a text: `1`, `true`."""
FORMS = re.compile(
    r"\bhf_[A-Za-z0-9]{8,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bsk-[A-Za-z0-9_-]{20,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bglpat-[A-Za-z0-9_-]{16,}|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
)
USER_IN_ADDRESS = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,20}://)[^\s/@'\"<>]*@")
IN_HEADER = re.compile(
    r"(?P<name>\bauthorization['\"]?\s*[:=]\s*['\"]?(?:bearer|basic|token)\s+)[^\s'\",;]+", re.IGNORECASE
)
IN_QUERY = re.compile(
    r"(?P<name>[?&](?:[A-Za-z0-9-]*(?:token|signature|secret|password|credential|api_?key))=)[^&\s'\"]+", re.IGNORECASE
)


def secret_names(environment: Mapping[str, str] | None = None) -> list[str]:
    """Return the names of the variables that hold secrets, sorted; their values are nobody's business."""
    here = os.environ if environment is None else environment
    return sorted(
        name for name, value in here.items() if value.strip() and NAMED.search(name) and not PLAIN.search(name)
    )


def without_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text in which every known secret is replaced by `[NAME]` or `[secret]`; call it on what is kept or told.

    Args:
        text: A message, a line of a log, a traceback.
        environment: Where values are looked up (default: this process's environment).
    """
    here = os.environ if environment is None else environment
    values = {form: name for name in secret_names(here) for form in _forms(here[name].strip())}
    for value in sorted(values, key=len, reverse=True):  # one may be part of another
        text = text.replace(value, f"[{values[value]}]")
    text = USER_IN_ADDRESS.sub(r"\g<scheme>[secret]@", text)
    text = IN_HEADER.sub(r"\g<name>[secret]", text)
    text = IN_QUERY.sub(r"\g<name>[secret]", text)
    return FORMS.sub("[secret]", text)


def _forms(value: str) -> set[str]:
    """Return a value as texts have it: as it is, in an address, in a traceback, in JSON; none where it is too short."""
    if len(value) < SHORTEST:
        return set()
    return {value, quote(value, safe=""), repr(value)[1:-1], json.dumps(value)[1:-1]}

"""Secrets are known by the names of their variables, by their place in an address, and by their form."""

import pytest

from harness.spec.secrets import secret_names, without_secrets

SECRET = "correct horse/battery+staple"


SECRETS = [
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "WANDB_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SESSION_TOKEN",
    "OPENAI_API_KEY",
    "GITHUB_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "COMET_API_KEY",
    "SENTRY_DSN",
    "DB_PASSWD",
    "AZURE_CLIENT_SECRET",
    "my_private_key",
    "NEPTUNE_API_TOKEN",
    "SLURM_JWT_TOKEN",
    "APIKEY",
]
OTHERS = [
    "TOKENIZERS_PARALLELISM",
    "HF_TOKEN_PATH",
    "SSH_AUTH_SOCK",
    "PATH",
    "HOME",
    "KEYBOARD",
    "AUTHOR",
    "MAX_TOKENS_LIMIT",
]


@pytest.mark.parametrize("name", SECRETS)
def test_names_of_secrets_are_known(name: str) -> None:
    assert secret_names({name: SECRET}) == [name]
    assert without_secrets(f"cannot log in with {SECRET}.", {name: SECRET}) == f"cannot log in with [{name}]."


@pytest.mark.parametrize("name", OTHERS)
def test_other_names_are_no_secrets(name: str) -> None:
    assert secret_names({name: "/home/somebody"}) == []
    assert without_secrets("/home/somebody", {name: "/home/somebody"}) == "/home/somebody"


def test_a_value_is_found_in_the_forms_that_texts_give_it() -> None:
    value = 'a"b\\c/d\ne+f'
    for text in (value, repr(value), "https://h/?x=a%22b%5Cc%2Fd%0Ae%2Bf", '{"x": "a\\"b\\\\c/d\\ne+f"}'):
        said = without_secrets(text, {"X_TOKEN": value})
        assert "[X_TOKEN]" in said
        assert "e+f" not in said
        assert "d%0Ae" not in said


def test_of_two_values_the_longer_is_replaced_first() -> None:
    here = {"A_TOKEN": "secret-part", "B_TOKEN": "secret-part-and-more"}
    assert without_secrets("secret-part-and-more secret-part", here) == "[B_TOKEN] [A_TOKEN]"


def test_a_value_too_short_to_be_one_leaves_texts_alone() -> None:
    assert without_secrets("step 1 of 100", {"X_TOKEN": "1"}) == "step 1 of 100"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("GET https://ann:hunter2@hub.example/x", "GET https://[secret]@hub.example/x"),
        ("https://tok@h/a and http://b@c", "https://[secret]@h/a and http://[secret]@c"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("mail ann@lab.example", "mail ann@lab.example"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [secret]"),
        ("{'authorization': 'Bearer abcdef'}", "{'authorization': 'Bearer [secret]'}"),
        ("https://h/f?X-Amz-Signature=0a1b&e=1", "https://h/f?X-Amz-Signature=[secret]&e=1"),
        ("https://h/f?a=1&token=abc", "https://h/f?a=1&token=[secret]"),
        ("user hf_abcdefghijklmnop is", "user [secret] is"),
        ("ghp_" + "a" * 36, "[secret]"),
        ("AKIA" + "A1" * 8, "[secret]"),
        ("sk-proj-" + "a" * 30, "[secret]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- x", "[secret] x"),
        ("hf_model is no token", "hf_model is no token"),
        ("rank-collapse at 1e-3", "rank-collapse at 1e-3"),
    ],
)
def test_forms_and_places_of_secrets_are_known(text: str, told: str) -> None:
    assert without_secrets(text, {}) == told
    assert without_secrets(told, {}) == told


def test_the_environment_of_this_process_is_meant_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert without_secrets(SECRET) == "[HF_TOKEN]"

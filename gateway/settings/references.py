"""How a configuration points at secrets: by the name of a variable or the path of a file, never by value."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = ["GoogleCredentialRef", "SecretRef", "SecretReference"]

_EnvName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Z_][A-Z0-9_]{0,127}$",
        description="The environment variable that holds the secret.",
        extra={"expects": "the name of an environment variable in capitals, such as OPENAI_API_KEY"},
    ),
]
_FilePath = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4096,
        description="The file that holds the secret; a relative path starts beside the configuration file.",
        extra={"expects": "the path of a file"},
    ),
]
_HostAndPort = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9.-]{1,253}:[1-9][0-9]{0,4}$",
        description="Host and port of a Google metadata server, for places where it is not at the usual address.",
        extra={"expects": "host:port, such as 127.0.0.1:8090"},
    ),
]


class SecretRef(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret is: `{env: NAME}` or `{file: path}`, one of the two."""

    env: _EnvName | UnsetType = UNSET
    file: _FilePath | UnsetType = UNSET


class GoogleCredentialRef(Struct, frozen=True, forbid_unknown_fields=True):
    """Where Google's credentials are: `{file: service-account.json}` or `{metadata: host:port}`, one of the two."""

    file: _FilePath | UnsetType = UNSET
    metadata: _HostAndPort | UnsetType = UNSET


SecretReference = Annotated[
    SecretRef,
    Meta(
        extra={"expects": "a reference, {env: NAME} or {file: path}: a secret itself never stands in a configuration"}
    ),
]

"""What values of settings may be: types with their ranges, and how a key is declared."""

from dataclasses import field
from typing import Annotated, Literal

from msgspec import Meta

DAY_S = 86_400.0
"""The longest duration that any setting may have, in seconds."""

NAME_MAX_CHARS = 63
NAME_PATTERN = r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*\Z"
"""SageMaker's for the names of endpoints and of their production variants."""

Name = Annotated[str, Meta(min_length=1)]
AwsName = Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS, pattern=NAME_PATTERN)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
CountOrAuto = Annotated[int, Meta(ge=0, le=1_000_000)]
ThreadsOrAuto = Annotated[int, Meta(ge=0, le=256)]
ByteCount = Annotated[int, Meta(ge=1024, le=2**32)]
WindowBytes = Annotated[int, Meta(ge=65_535, le=2**30)]
StreamCount = Annotated[int, Meta(ge=1, le=32_767)]
Seconds = Annotated[float, Meta(gt=0, le=DAY_S)]
SecondsOrOff = Annotated[float, Meta(ge=0, le=DAY_S)]
Weight = Annotated[float, Meta(ge=0, le=1_000)]
Names = Annotated[tuple[Name, ...], Meta(max_length=64)]
Megabytes = Annotated[int, Meta(ge=0, le=16_777_216)]
EngineKind = Literal["tiny-en", "scripted"]
ProfileName = Literal["auto", "voxtral", "embedded", "qwen3-asr"]
Policy = Literal["block", "drop-oldest", "terminate"]
StoreKind = Literal["memory", "directory"]
Priority = Annotated[int, Meta(ge=0, le=9)]
Share = Annotated[float, Meta(ge=0, le=1)]
OnAuditFailure = Literal["refuse", "continue"]
RetentionName = Literal["none", "transcript", "debug-audio"]
TokenSeconds = Annotated[float, Meta(ge=1, le=3_600)]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "text", "json"]


def setting[T](default: T, help: str, *, unit: str = "") -> T:
    """A key of a section: its default, what it is for, and the unit that its name ends in."""
    return field(default=default, metadata={"help": help, "unit": unit})

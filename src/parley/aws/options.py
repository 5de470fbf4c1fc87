"""How SageMaker is reached."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AwsOptions:
    """Empty are `endpoint_url` and `ca_file` for what AWS's own variables and files say.

    `credentials_max_age_s` is how long what was read
    from files and the environment is used for further streams; a refusal ends that time at once. A stream whose server
    takes nothing for `write_stall_timeout_s` is lost; above `send_high_water_bytes` its writer is told to wait, and
    `send_max_bytes` is where one that does not listen is cut off. A message may have `message_max_bytes`.
    """

    endpoint_url: str = ""
    ca_file: str = ""
    connect_timeout_s: float = 10.0
    close_timeout_s: float = 2.0
    credentials_max_age_s: float = 60.0
    write_stall_timeout_s: float = 30.0
    send_high_water_bytes: int = 65_536
    send_max_bytes: int = 16_777_216
    message_max_bytes: int = 4_194_304

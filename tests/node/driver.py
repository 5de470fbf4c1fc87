"""A Node process with AWS's packages in it, told what to do line by line."""

import asyncio
import base64
import itertools
import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.aws_sdk import AwsStream, Part, greeted
from tests.support.sagemaker_stage import ENDPOINT, REGION, Credentials
from tests.support.waiting import bounded

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / ".cache" / "node"
HOW_TO_INSTALL = "run: sh tests/node/run.sh"
_LINE_MAX_BYTES = 16 * 2**20


def why_not() -> str:
    """Why the Node client can't run here, and what to do; empty if it can."""
    if shutil.which("node") is None:
        return "Node is not installed; with Node 20 or later and npm, " + HOW_TO_INSTALL
    lock = INSTALLED / "package-lock.json"
    if not (INSTALLED / "node_modules").is_dir() or not lock.is_file():
        return f"AWS's Node packages are not installed; {HOW_TO_INSTALL}"
    if lock.read_bytes() != (HERE / "package-lock.json").read_bytes():
        return f"other versions of AWS's Node packages are installed than are locked; {HOW_TO_INSTALL}"
    return ""


class NodeError(Exception):
    """What the SDK threw."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(f"{fields['name']}: {fields['message']}")
        self.name: str = fields["name"]
        self.message: str = fields["message"]
        self.is_of_class: bool = fields["isOfClass"]
        self.is_of_service: bool = fields["isOfService"]
        self.status: int | None = fields.get("status")
        self.request_id: str | None = fields.get("requestId")
        self.attempts: int | None = fields.get("attempts")
        self.code: str | None = fields.get("code")
        self.original_status_code: int | None = fields.get("originalStatusCode")


class NodeStream(AwsStream):
    """A stream of the Node SDK, which can be read when its `send` has resolved."""

    def __init__(self, node: "Node", name: str, opening: asyncio.Future[Any]) -> None:
        self._node = node
        self._name = name
        self._opening = opening

    async def accepted(self) -> dict[str, Any]:
        """What `send` resolved to: the variant and the metadata. It does with the first event, not with the head."""
        output = await bounded("send resolves", asyncio.shield(self._opening))
        assert isinstance(output, dict)
        return output

    async def send_part(
        self, data: bytes | None, data_type: str | None = "UTF8", completion_state: str | None = None
    ) -> None:
        await self._node.order(
            "send",
            stream=self._name,
            data=None if data is None else base64.b64encode(data).decode(),
            **{key: value for key, value in (("dataType", data_type), ("completionState", completion_state)) if value},
        )

    async def receive_part(self) -> Part | None:
        await self.accepted()
        event = await self._node.order("receive", stream=self._name)
        if "ended" in event:
            return None
        return Part(base64.b64decode(event["data"]), event.get("dataType"), event.get("completionState"))

    async def close_input(self) -> None:
        await self._node.order("closeInput", stream=self._name)


class Node:
    """The process. `folder` is a temporary one, in which its files stand beside the installed packages."""

    def __init__(self, folder: Path, ca_file: Path) -> None:
        self._folder = folder
        self._ca_file = ca_file
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._log = b""

    async def client(self, name: str, url: str, credentials: Credentials, *, clock_offset_s: float = 0) -> None:
        """A client object of this name."""
        keys = {"accessKeyId": credentials.access_key_id, "secretAccessKey": credentials.secret}
        if credentials.session_token is not None:
            keys["sessionToken"] = credentials.session_token
        await self.order(
            "client", name=name, url=url, region=REGION, credentials=keys, clockOffsetMs=round(clock_offset_s * 1000)
        )

    def invoke(self, client: str, endpoint: str = ENDPOINT, **inputs: str) -> NodeStream:
        """A stream that is asked for; whether it was taken, its `accepted` tells."""
        name = f"stream-{next(self._numbers)}"
        opening = self._begin("invoke", client=client, stream=name, input={"EndpointName": endpoint, **inputs})
        return NodeStream(self, name, opening)

    async def open(self, client: str, model: str, endpoint: str = ENDPOINT, **inputs: str) -> NodeStream:
        """A stream that was taken, whose model is named."""
        stream = self.invoke(client, endpoint, **inputs)
        await stream.accepted()
        await greeted(stream, model)
        return stream

    async def order(self, what: str, **fields: Any) -> Any:
        """Have it do something; its answer, or what it threw."""
        return await bounded(f"Node does {what}", self._begin(what, **fields))

    def _begin(self, what: str, **fields: Any) -> asyncio.Future[Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        # Whoever asked may have given up by then.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._process.stdin.write(json.dumps({"id": number, "do": what, **fields}).encode() + b"\n")
        return answer

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = json.loads(line)
            answer = self._answers.pop(message["id"])
            if answer.done():
                continue
            if "error" in message:
                answer.set_exception(NodeError(message["error"]))
            else:
                answer.set_result(message["ok"])
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(AssertionError("Node has ended"))

    async def __aenter__(self) -> Self:
        for name in ("client.mjs", "service.mjs"):
            shutil.copy(HERE / name, self._folder)
        (self._folder / "node_modules").symlink_to(INSTALLED / "node_modules", target_is_directory=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "NODE_"))}
        self._process = await asyncio.create_subprocess_exec(
            "node",
            str(self._folder / "client.mjs"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                **environment,
                "NODE_EXTRA_CA_CERTS": str(self._ca_file),
                # Nobody's own settings are read.
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            },
            limit=_LINE_MAX_BYTES,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._reading is not None
        try:
            if self._process.returncode is None:
                await self.order("leave")
                await bounded("Node ends", self._process.wait())
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await bounded("Node's output ends", self._reading)
            await self._process.communicate()

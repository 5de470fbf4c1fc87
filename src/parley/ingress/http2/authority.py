"""h2's connection as this server needs it: it decides everything, but need not be asked about plain DATA.

What h2 does otherwise: a peer's GOAWAY(NO_ERROR) ends nothing (python-hyper/h2#1181); a malformed request costs its own
stream and not the connection (RFC 9113 section 8.1.1); so does a stream above the limit; data for a stream that this
side has reset is thrown away without an answer; a broken header block is a COMPRESSION_ERROR.
"""

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionInputs, H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event, PriorityUpdated, StreamReset
from h2.exceptions import (
    DenialOfServiceError,
    FlowControlError,
    InvalidBodyLengthError,
    ProtocolError,
    StreamClosedError,
    StreamIDTooLowError,
)
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamInputs, StreamState
from h2.utilities import SizeLimitDict
from h2.windows import WindowManager
from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.struct import HeaderTuple
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PriorityFrame,
    RstStreamFrame,
)

from parley.ingress.http2.frame_head import data_frame_head
from parley.ingress.http2.limits import Http2Limits

_ENCODER_TABLE_MAX_BYTES = 4_096

_Outcome = tuple[list[Frame], list[Event]]


class CompressionError(ProtocolError):
    """A header block that can't be decoded: both sides' tables are no longer the same (RFC 9113 section 4.3)."""

    error_code = ErrorCodes.COMPRESSION_ERROR


class ClosedStreamError(ProtocolError):
    """A frame for a stream that the peer itself has ended (RFC 9113 section 5.1, closed)."""

    error_code = ErrorCodes.STREAM_CLOSED


class _FieldDecoder(Decoder):
    def decode(self, data: bytes, raw: bool = False) -> "list[HeaderTuple]":
        try:
            return list(super().decode(data, raw))
        except OversizedHeaderListError as error:
            raise DenialOfServiceError("The header list is too long") from error
        except (HPACKError, IndexError) as error:
            raise CompressionError("The header block can't be decoded") from error


class Authority(H2Connection):
    """The server's side of one connection's protocol. What it has to say collects in `output`, in order."""

    # Enough to know the streams whose last frames may still be under way.
    MAX_CLOSED_STREAMS = 4_096

    def __init__(self, limits: Http2Limits) -> None:
        super().__init__(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams_max,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_list_max_bytes,
            },
        )
        self.decoder = _FieldDecoder()
        self.decoder.max_header_list_size = limits.header_list_max_bytes
        self.output: list[bytes] = []
        self._last_stream_id: int | None = None
        self._receive_window_bytes = limits.receive_window_bytes
        self._thrown_away_bytes: dict[int, int] = SizeLimitDict(size_limit=limits.streams_max)

    @property
    def shared_window(self) -> WindowManager:
        """What the peer may still send on the connection."""
        return self._inbound_flow_control_window_manager

    @staticmethod
    def window_of(stream: H2Stream) -> WindowManager:
        """What the peer may still send on a stream."""
        return stream._inbound_window_manager

    def initiate_connection(self) -> None:
        """Say SETTINGS."""
        super().initiate_connection()
        self.output.append(self.data_to_send())

    def take_output(self) -> bytes:
        """What has to be written, once."""
        if not self.output:
            return b""
        output = self.output[0] if len(self.output) == 1 else b"".join(self.output)
        self.output = []
        return output

    def take_plain_data(self, stream: H2Stream, length: int) -> bool:
        """Account for a DATA frame of so many bytes, without padding or END_STREAM, as `receive_data` would. False, and
        nothing is done, when that has to be asked."""
        window = stream._inbound_window_manager
        shared = self._inbound_flow_control_window_manager
        if (
            stream.state_machine.state is not StreamState.OPEN
            or length > window.current_window_size
            or length > shared.current_window_size
            or stream._expected_content_length is not None
        ):
            return False
        window.current_window_size -= length
        shared.current_window_size -= length
        return True

    def throw_away_data(self, stream_id: int, length: int) -> bool:
        """Account for a DATA frame of so many bytes, padding included, of a stream that was reset here before its peer
        knew. False, and nothing is done, when `receive_data` has to be asked."""
        shared = self._inbound_flow_control_window_manager
        thrown_away = self._thrown_away_bytes.get(stream_id, 0) + length
        if (
            length > shared.current_window_size
            or thrown_away > self._receive_window_bytes
            or self._stream_closed_by(stream_id) is not StreamClosedBy.SEND_RST_STREAM
        ):
            return False
        self._thrown_away_bytes.pop(stream_id, None)
        self._thrown_away_bytes[stream_id] = thrown_away
        shared.current_window_size -= length
        return True

    def write_plain_data(self, stream: H2Stream, data: bytes) -> None:
        """Write a DATA frame as `send_data` would; the caller has seen to windows and state."""
        length = len(data)
        stream.outbound_flow_control_window -= length
        self.outbound_flow_control_window -= length
        self.output.append(data_frame_head(length, stream.stream_id))
        self.output.append(data)

    def drain(self) -> None:
        """Say GOAWAY(NO_ERROR): streams up to the last one go on, later ones are refused."""
        # Not `close_connection`, after which nothing can be sent.
        self._last_stream_id = self.highest_inbound_stream_id
        self._prepare_for_sending([GoAwayFrame(0, last_stream_id=self._last_stream_id, error_code=ErrorCodes.NO_ERROR)])

    def terminate(self, code: ErrorCodes) -> None:
        """Say GOAWAY with this code; nothing can be said after it."""
        self._terminate_connection(code)

    def refuse_empty_window_update(self, stream_id: int) -> list[Event]:
        """A WINDOW_UPDATE of nothing came for a stream: an error of that stream (RFC 9113 section 6.9)."""
        try:
            stream = self._get_stream_by_id(stream_id)
        except StreamClosedError:
            return []
        except ProtocolError as error:
            self._terminate_connection(error.error_code)
            raise
        if stream.closed:
            return []
        frames, events = self._reset(stream, ErrorCodes.PROTOCOL_ERROR)
        self._prepare_for_sending(frames)
        return events

    def _prepare_for_sending(self, frames: list[Frame]) -> None:
        self.output.extend(frame.serialize() for frame in frames)

    def _reset(self, stream: H2Stream, code: ErrorCodes) -> _Outcome:
        """End a stream for a fault of the peer's."""
        if stream.open:
            frames: list[Frame] = stream.reset_stream(code)
        else:
            # h2 has closed it on finding the fault, without telling the peer.
            stream.state_machine.state = StreamState.CLOSED
            stream.state_machine.stream_closed_by = StreamClosedBy.SEND_RST_STREAM
            frames = [RstStreamFrame(stream.stream_id, error_code=code)]
        return frames, [StreamReset(stream_id=stream.stream_id, error_code=code, remote_reset=False)]

    def _is_refused(self, stream_id: int) -> bool:
        if self._last_stream_id is not None and stream_id > self._last_stream_id:
            return True
        return self.open_inbound_streams >= self.local_settings.max_concurrent_streams

    def _refuse(self, frame: HeadersFrame) -> _Outcome:
        """RFC 9113 section 8.7: the peer may try again elsewhere."""
        # The block belongs to the connection's compression state, wanted or not.
        self.decoder.decode(frame.data, raw=True)
        self.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        stream = self._begin_new_stream(frame.stream_id, AllowedStreamIDs.ODD)
        stream.state_machine.process_input(StreamInputs.RECV_HEADERS)
        return self._reset(stream, ErrorCodes.REFUSED_STREAM)

    def _receive_headers_frame(self, frame: HeadersFrame) -> _Outcome:
        stream_id = frame.stream_id
        if stream_id > self.highest_inbound_stream_id:
            if stream_id % 2 and self._is_refused(stream_id):
                return self._refuse(frame)
        else:
            closed_by = self._stream_closed_by(stream_id)
            if closed_by is StreamClosedBy.SEND_RST_STREAM:
                self.decoder.decode(frame.data, raw=True)
                return [], []
            if closed_by is StreamClosedBy.RECV_RST_STREAM:
                raise ClosedStreamError("HEADERS behind RST_STREAM")
        known = self.streams.get(stream_id)
        announced = None if known is None else known._expected_content_length
        try:
            frames, events = super()._receive_headers_frame(frame)
        except (StreamClosedError, StreamIDTooLowError, DenialOfServiceError, CompressionError):
            raise
        except ProtocolError:
            if stream_id not in self.streams:
                raise
            return self._reset(self.streams[stream_id], ErrorCodes.PROTOCOL_ERROR)
        stream = self.streams[stream_id]
        if known is None:
            announced = stream._expected_content_length
        if "END_STREAM" in frame.flags and announced is not None and announced != stream._actual_content_length:
            return self._reset(stream, ErrorCodes.PROTOCOL_ERROR)
        return frames, events

    def _receive_data_frame(self, frame: DataFrame) -> _Outcome:
        try:
            return super()._receive_data_frame(frame)
        except InvalidBodyLengthError:
            code = ErrorCodes.PROTOCOL_ERROR
        except FlowControlError:
            if self.shared_window.current_window_size < 0:
                raise
            code = ErrorCodes.FLOW_CONTROL_ERROR
        return self._reset(self.streams[frame.stream_id], code)

    def _handle_data_on_closed_stream(self, events: list[Event], exc: StreamClosedError, frame: DataFrame) -> _Outcome:
        if exc._events:
            # Data behind END_STREAM: an error of the stream (RFC 9113 section 5.1, half-closed (remote)).
            return [RstStreamFrame(frame.stream_id, error_code=exc.error_code)], events + exc._events
        if self._stream_closed_by(frame.stream_id) is StreamClosedBy.SEND_RST_STREAM:
            # Sent before the peer knew. It has been taken off the connection's window, and nobody holds it. No more can
            # have been under way than the stream's window allowed.
            thrown_away = self._thrown_away_bytes.pop(frame.stream_id, 0) + frame.flow_controlled_length
            self._thrown_away_bytes[frame.stream_id] = thrown_away
            if thrown_away <= self._receive_window_bytes:
                return [], events
        raise ClosedStreamError("DATA for a stream that is over")

    def _receive_rst_stream_frame(self, frame: RstStreamFrame) -> _Outcome:
        if frame.stream_id > self.highest_inbound_stream_id:
            raise ProtocolError("RST_STREAM for an idle stream")
        return super()._receive_rst_stream_frame(frame)

    def _receive_priority_frame(self, frame: HeadersFrame | PriorityFrame) -> _Outcome:
        # RFC 9113 section 5.3.2: deprecated; there is nothing to check.
        return [], [PriorityUpdated()]

    def _receive_naked_continuation(self, frame: ContinuationFrame) -> None:
        raise ProtocolError("CONTINUATION without HEADERS")

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> _Outcome:
        if frame.error_code == ErrorCodes.NO_ERROR:
            event = ConnectionTerminated()
            event.error_code = ErrorCodes.NO_ERROR
            return [], [event]
        return super()._receive_goaway_frame(frame)

    def _acknowledge_settings(self) -> list[Frame]:
        frames = super()._acknowledge_settings()
        # A peer may allow a table as large as it likes; it would be ours to hold.
        if self.encoder.header_table_size > _ENCODER_TABLE_MAX_BYTES:
            self.encoder.header_table_size = _ENCODER_TABLE_MAX_BYTES
        return frames

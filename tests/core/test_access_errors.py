from parley.core.access_errors import ACCESS_ROWS
from parley.core.error_spec import Fault
from parley.core.errors import ERRORS


def test_every_row_is_in_the_table() -> None:
    assert all(ERRORS[row.code] is row for row in ACCESS_ROWS)


def test_credentials_are_the_clients_to_mend_and_what_this_server_keeps_is_its_own() -> None:
    ours = {row.code for row in ACCESS_ROWS if row.fault is Fault.SERVER}
    assert ours == {"keys-unavailable", "audit-unavailable", "retention-unavailable"}

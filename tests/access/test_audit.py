from parley.access.audit import NoAudit


def test_where_nothing_is_kept_nothing_can_fail() -> None:
    audit = NoAudit()
    audit.check()
    audit.record("start")

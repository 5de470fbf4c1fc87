from parley.access.caller import NOBODY, Caller


def test_a_caller_of_no_tenant_is_one_of_its_own() -> None:
    assert Caller("abc").tenant_name == "abc"


def test_a_caller_of_a_tenant_counts_to_it() -> None:
    assert Caller("abc", tenant="acme").tenant_name == "acme"


def test_nobody_has_no_name_and_no_role() -> None:
    assert (NOBODY.principal, NOBODY.name, NOBODY.roles, NOBODY.method) == ("", "", frozenset(), "none")


def test_what_an_operator_calls_a_caller_is_not_printed() -> None:
    assert "captions" not in repr(Caller("abc", "key:captions"))

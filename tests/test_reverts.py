"""The check of reverts must fail for everything but the whole expected error."""

import pytest
from reverts import reverts_with

VALUE, LIMIT = 10**31, 10**30
UNDERFLOW = 0x11


@pytest.fixture(scope="module")
def caller(accounts):
    return accounts[0]


@pytest.fixture(scope="module")
def reverter(project, caller):
    return caller.deploy(project.Reverter)


@pytest.fixture(params=["call", "transaction", "nested transaction", "simulated transaction"])
def revert_above_limit(request, reverter, caller):
    return {
        "call": lambda: reverter.lookAboveLimit(VALUE, LIMIT),
        "transaction": lambda: reverter.doAboveLimit(VALUE, LIMIT, sender=caller),
        "nested transaction": lambda: reverter.doNested(VALUE, LIMIT, sender=caller),
        "simulated transaction": lambda: reverter.doAboveLimit.call(VALUE, LIMIT),
    }[request.param]


def test_the_whole_expected_error_passes(revert_above_limit):
    with reverts_with("AboveLimit", limit=LIMIT, value=VALUE):
        revert_above_limit()


def test_another_error_fails(revert_above_limit):
    with pytest.raises(pytest.fail.Exception, match=rf"got AboveLimit\(value={VALUE}"):
        with reverts_with("BelowLimit", value=VALUE, limit=LIMIT):
            revert_above_limit()


@pytest.mark.parametrize("wrong", [{"value": VALUE + 1}, {"limit": LIMIT - 1}])
def test_a_wrong_argument_fails(revert_above_limit, wrong):
    with pytest.raises(pytest.fail.Exception, match="but got AboveLimit"):
        with reverts_with("AboveLimit", **{"value": VALUE, "limit": LIMIT, **wrong}):
            revert_above_limit()


@pytest.mark.parametrize(
    "arguments",
    [{"value": VALUE}, {"value": VALUE, "limt": LIMIT}, {"value": VALUE, "limit": LIMIT, "x": 1}],
    ids=["missing", "misspelt", "superfluous"],
)
def test_arguments_under_other_names_fail(revert_above_limit, arguments):
    with pytest.raises(ValueError, match=r"AboveLimit\(uint256 value, uint256 limit\)"):
        with reverts_with("AboveLimit", **arguments):
            revert_above_limit()


def test_an_error_no_contract_declares_fails(revert_above_limit):
    with pytest.raises(ValueError, match="unknown to every contract"):
        with reverts_with("AboveLimits", value=VALUE, limit=LIMIT):
            revert_above_limit()


def test_no_revert_fails(reverter, caller):
    with pytest.raises(pytest.fail.Exception, match="nothing reverted"):
        with reverts_with("Closed"):
            reverter.doFine(sender=caller)


def test_an_error_of_the_test_itself_is_not_taken_for_a_revert():
    with pytest.raises(ZeroDivisionError):
        with reverts_with("Closed"):
            _ = 1 // 0


def test_an_error_without_arguments_is_told_from_one_without_data(reverter):
    with reverts_with("Closed"):
        reverter.lookClosed()
    with pytest.raises(pytest.fail.Exception, match="a revert without data"):
        with reverts_with("Closed"):
            reverter.lookNothing()


def test_structs_lists_and_bytes_are_compared(reverter, caller):
    identifier = bytes(range(32))
    detail = (caller, [-1, 2**255 - 1])

    def revert():
        reverter.lookDetailed(detail, identifier, "why")

    with reverts_with("Detailed", detail=detail, id=identifier, text="why"):
        revert()
    for wrong in ({"detail": (reverter, detail[1])}, {"id": bytes(32)}, {"text": "who"}):
        with pytest.raises(pytest.fail.Exception, match="but got Detailed"):
            with reverts_with(
                "Detailed", **{"detail": detail, "id": identifier, "text": "why", **wrong}
            ):
                revert()


def test_panics_and_texts_are_compared(reverter):
    with reverts_with("Panic", code=UNDERFLOW):
        reverter.lookUnderflow(1)
    with reverts_with("Error", message="why"):
        reverter.lookText("why")
    with pytest.raises(pytest.fail.Exception, match="got Error"):
        with reverts_with("Error", message="who"):
            reverter.lookText("why")

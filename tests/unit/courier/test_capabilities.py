import pytest

from gateway.courier.capabilities import Capabilities, read_capabilities


def test_the_keywords_that_matter_are_read_in_any_case() -> None:
    text = "relay\npipelining\nChunking\n8BITMIME\nSMTPUTF8\nDSN\nSTARTTLS\nSIZE 1000\nAUTH plain LOGIN\nX-OTHER y"

    assert read_capabilities(text) == Capabilities(
        pipelining=True,
        chunking=True,
        eightbitmime=True,
        smtputf8=True,
        dsn=True,
        starttls=True,
        sizes=True,
        size=1000,
        auth=frozenset({"PLAIN", "LOGIN"}),
    )


def test_the_first_line_is_a_name_and_no_keyword() -> None:
    assert read_capabilities("PIPELINING") == Capabilities()


@pytest.mark.parametrize("size", ["", "0", "abc", "-1", "1e9", "٣", "9" * 30])
def test_a_size_that_is_no_limit_is_none(size: str) -> None:
    offers = read_capabilities(f"relay\nSIZE {size}")

    assert offers.sizes
    assert offers.size is None


def test_the_old_way_of_offering_auth_is_understood() -> None:
    assert read_capabilities("relay\nAUTH=LOGIN PLAIN").auth == {"LOGIN", "PLAIN"}


def test_limits_are_read() -> None:
    offers = read_capabilities("relay\nLIMITS RCPTMAX=20 MAILMAX=5 RCPTDOMAINMAX=1 X=")

    assert (offers.rcpt_max, offers.mail_max) == (20, 5)

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.addresses import (
    Allowed,
    Origin,
    Reason,
    Refused,
    is_loopback,
    judge_address,
    judge_url,
    origin_of,
)

HOSTS = ("replicate.delivery", "*.replicate.delivery", "oaidalleapiprodscus.blob.core.windows.net")
SANDBOX = Origin("http", "127.0.0.1", 8090)
PROXY = Origin("https", "images.corp.example", 8443)

LINKS = [
    # (link, own address, verdict)
    ("https://replicate.delivery/a.png", None, None),
    ("https://REPLICATE.delivery/a.png", None, None),
    ("HTTPS://replicate.delivery:443/a.png?x=1#y", None, None),
    ("https://pbxt.replicate.delivery/xezq/a.webp", None, None),
    ("https://a.b.replicate.delivery", None, None),
    ("https://oaidalleapiprodscus.blob.core.windows.net/x?sig=a%2Bb%3D", None, None),
    ("http://127.0.0.1:8090/out/1.png", SANDBOX, None),
    ("https://images.corp.example:8443/1.png", PROXY, None),
    ("http://replicate.delivery/a.png", None, Reason.SCHEME),
    ("file:///etc/passwd", None, Reason.SCHEME),
    ("ftp://replicate.delivery/a", None, Reason.SCHEME),
    ("gopher://replicate.delivery/", None, Reason.SCHEME),
    ("javascript:alert(1)", None, Reason.MALFORMED),
    ("data:image/png;base64,AAAA", None, Reason.MALFORMED),
    ("//replicate.delivery/a", None, Reason.MALFORMED),
    ("/a.png", None, Reason.MALFORMED),
    ("", None, Reason.MALFORMED),
    ("https://", None, Reason.MALFORMED),
    ("https:///a.png", None, Reason.MALFORMED),
    ("https://user@replicate.delivery/", None, Reason.USERINFO),
    ("https://user:pass@replicate.delivery/", None, Reason.USERINFO),
    ("https://replicate.delivery@evil.example/", None, Reason.USERINFO),
    ("https://@replicate.delivery/", None, Reason.USERINFO),
    ("https://replicate.delivery:80/", None, Reason.PORT),
    ("https://replicate.delivery:8443/", None, Reason.PORT),
    ("https://replicate.delivery:0/", None, Reason.PORT),
    ("https://replicate.delivery:99999/", None, Reason.PORT),
    ("https://replicate.delivery:/", None, Reason.MALFORMED),
    ("https://replicate.delivery:443:443/", None, Reason.MALFORMED),
    ("https://evil.example/a.png", None, Reason.HOST),
    ("https://replicate.delivery.evil.example/", None, Reason.HOST),
    ("https://evilreplicate.delivery/", None, Reason.HOST),
    ("https://localhost/", None, Reason.HOST),
    ("https://metadata.google.internal/", None, Reason.HOST),
    ("https://replicate.delivery./a.png", None, Reason.MALFORMED),
    ("https://replicate..delivery/", None, Reason.MALFORMED),
    ("https://.replicate.delivery/", None, Reason.MALFORMED),
    ("https://-a.replicate.delivery/", None, Reason.MALFORMED),
    ("https://replicate.delivery\\@evil.example/", None, Reason.MALFORMED),
    ("https://replicate.delivery\\.evil.example/", None, Reason.MALFORMED),
    ("https://replicate.delivery\t/", None, Reason.MALFORMED),
    ("https://replicate.delivery/a b", None, Reason.MALFORMED),
    ("https://replicate.delivery/\r\nHost: evil", None, Reason.MALFORMED),
    (" https://replicate.delivery/", None, Reason.MALFORMED),
    ("https://replicate\u3002delivery/", None, Reason.MALFORMED),
    ("https://r\u0435plicate.delivery/", None, Reason.MALFORMED),
    ("https://%72eplicate.delivery/", None, Reason.MALFORMED),
    ("https://xn--rplicate-2fg.delivery/", None, Reason.HOST),
    ("https://127.0.0.1/", None, Reason.ADDRESS_LITERAL),
    ("https://93.184.216.34/", None, Reason.ADDRESS_LITERAL),
    ("https://[::1]/", None, Reason.ADDRESS_LITERAL),
    ("https://[::ffff:127.0.0.1]/", None, Reason.ADDRESS_LITERAL),
    ("https://[fe80::1%25eth0]/", None, Reason.MALFORMED),
    ("https://[127.0.0.1]/", None, Reason.MALFORMED),
    ("https://::1/", None, Reason.MALFORMED),
    ("https://2130706433/", None, Reason.NUMERIC_HOST),
    ("https://127.1/", None, Reason.NUMERIC_HOST),
    ("https://0x7f000001/", None, Reason.NUMERIC_HOST),
    ("https://0x7f.0.0.0x1/", None, Reason.NUMERIC_HOST),
    ("https://0177.0.0.1/", None, Reason.NUMERIC_HOST),
    ("https://127.0.0.01/", None, Reason.NUMERIC_HOST),
    ("https://0/", None, Reason.NUMERIC_HOST),
    ("http://127.0.0.1:8091/", SANDBOX, Reason.SCHEME),
    ("https://127.0.0.1:8090/", SANDBOX, Reason.ADDRESS_LITERAL),
    ("http://127.0.0.2:8090/", SANDBOX, Reason.SCHEME),
    ("http://localhost:8090/", SANDBOX, Reason.SCHEME),
    ("http://127.0.0.1:8090@evil.example/", SANDBOX, Reason.USERINFO),
    ("http://2130706433:8090/", SANDBOX, Reason.NUMERIC_HOST),
    ("https://images.corp.example/1.png", PROXY, Reason.HOST),
    ("http://plain.example:80/", Origin("http", "plain.example", 80), Reason.SCHEME),
]

ADDRESSES = [
    ("93.184.216.34", None),
    ("8.8.8.8", None),
    ("2606:4700::6810:84e5", None),
    ("2a00:1450:4001:81b::200e", None),
    ("64:ff9b::5db8:d822", None),  # DNS64's form of a public IPv4 address
    ("127.0.0.1", Reason.LOOPBACK),
    ("127.255.255.254", Reason.LOOPBACK),
    ("::1", Reason.LOOPBACK),
    ("::ffff:127.0.0.1", Reason.LOOPBACK),
    ("64:ff9b::7f00:1", Reason.LOOPBACK),
    ("10.1.2.3", Reason.PRIVATE),
    ("172.16.0.1", Reason.PRIVATE),
    ("172.31.255.255", Reason.PRIVATE),
    ("192.168.1.1", Reason.PRIVATE),
    ("100.64.0.1", Reason.PRIVATE),
    ("100.127.255.255", Reason.PRIVATE),
    ("::ffff:10.0.0.1", Reason.PRIVATE),
    ("64:ff9b::a00:1", Reason.PRIVATE),
    ("fc00::1", Reason.PRIVATE),
    ("fd12:3456::1", Reason.PRIVATE),
    ("fec0::1", Reason.PRIVATE),
    ("169.254.1.1", Reason.LINK_LOCAL),
    ("fe80::1", Reason.LINK_LOCAL),
    ("fe80::1%eth0", Reason.LINK_LOCAL),
    ("2606:4700::1%eth0", Reason.LINK_LOCAL),
    ("169.254.169.254", Reason.METADATA),
    ("169.254.170.2", Reason.METADATA),
    ("168.63.129.16", Reason.METADATA),
    ("100.100.100.200", Reason.METADATA),
    ("192.0.0.192", Reason.METADATA),
    ("fd00:ec2::254", Reason.METADATA),
    ("fd20:ce::254", Reason.METADATA),
    ("::ffff:169.254.169.254", Reason.METADATA),
    ("64:ff9b::a9fe:a9fe", Reason.METADATA),
    ("224.0.0.1", Reason.MULTICAST),
    ("239.255.255.250", Reason.MULTICAST),
    ("ff02::1", Reason.MULTICAST),
    ("64:ff9b::e000:1", Reason.MULTICAST),
    ("0.0.0.0", Reason.RESERVED),
    ("0.1.2.3", Reason.RESERVED),
    ("192.0.0.1", Reason.RESERVED),
    ("192.0.2.1", Reason.RESERVED),
    ("192.88.99.1", Reason.RESERVED),
    ("198.18.0.1", Reason.RESERVED),
    ("198.51.100.1", Reason.RESERVED),
    ("203.0.113.1", Reason.RESERVED),
    ("240.0.0.1", Reason.RESERVED),
    ("255.255.255.255", Reason.RESERVED),
    ("2001:db8::1", Reason.RESERVED),
    ("2001:10::1", Reason.RESERVED),
    ("3fff::1", Reason.RESERVED),
    ("100::1", Reason.RESERVED),
    ("4000::1", Reason.RESERVED),
    ("5f00::1", Reason.RESERVED),
    ("::", Reason.TRANSITION),
    ("::7f00:1", Reason.TRANSITION),
    ("::ffff:0:127.0.0.1", Reason.TRANSITION),
    ("2002:7f00:1::", Reason.TRANSITION),
    ("2002:5db8:d822::1", Reason.TRANSITION),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Reason.TRANSITION),
    ("64:ff9b:1::7f00:1", Reason.TRANSITION),
    ("localhost", Reason.MALFORMED),
    ("2130706433", Reason.MALFORMED),
    ("127.1", Reason.MALFORMED),
    ("0177.0.0.1", Reason.MALFORMED),
    ("", Reason.MALFORMED),
]


@pytest.mark.parametrize(("link", "own", "reason"), LINKS)
def test_a_link_is_followed_only_to_where_the_vendor_keeps_its_images(
    link: str, own: Origin | None, reason: Reason | None
) -> None:
    verdict = judge_url(link, HOSTS, own)
    if reason is None:
        assert isinstance(verdict, Allowed)
    else:
        assert verdict == Refused(reason)


@pytest.mark.parametrize(("address", "reason"), ADDRESSES)
def test_a_resolved_address_must_be_out_on_the_open_internet(address: str, reason: Reason | None) -> None:
    assert judge_address(address, loopback_allowed=False) == (None if reason is None else Refused(reason))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_can_be_allowed_for_the_sandbox(address: str) -> None:
    assert judge_address(address, loopback_allowed=True) is None


@pytest.mark.parametrize(("address", "reason"), [case for case in ADDRESSES if case[1] not in (None, Reason.LOOPBACK)])
def test_allowing_loopback_allows_nothing_else(address: str, reason: Reason) -> None:
    assert judge_address(address, loopback_allowed=True) == Refused(reason)


def test_a_wildcard_covers_subdomains_and_not_the_name_itself() -> None:
    assert judge_url("https://name.example/", ("*.name.example",), None) == Refused(Reason.HOST)
    assert isinstance(judge_url("https://a.name.example/", ("*.name.example",), None), Allowed)


def test_an_origin_is_read_in_its_plainest_form() -> None:
    assert origin_of("HTTPS://API.Example") == Origin("https", "api.example", 443)
    assert origin_of("http://[::0001]:8090/x") == Origin("http", "::1", 8090)


def test_what_counts_as_this_machine() -> None:
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "10.0.0.1", "localhost.example")] == [
        True,
        True,
        True,
        False,
        False,
    ]


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_an_ipv4_address_is_judged_alike_in_every_dress(address: ipaddress.IPv4Address) -> None:
    bare = judge_address(str(address), loopback_allowed=False)
    for prefix in ("::ffff:", "64:ff9b::"):
        assert judge_address(f"{prefix}{address}", loopback_allowed=False) == bare
    if not address.is_global:
        assert bare is not None


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_that_is_not_global_gets_through(address: ipaddress.IPv6Address) -> None:
    inner = address in ipaddress.IPv6Network("64:ff9b::/96") or address.ipv4_mapped is not None
    if judge_address(str(address), loopback_allowed=False) is None and not inner:
        assert address.is_global
        assert address.sixtofour is None
        assert address.teredo is None


@given(st.text(max_size=60))
def test_no_text_makes_the_reading_of_a_link_fail(text: str) -> None:
    for link in (text, f"https://{text}", f"https://{text}/", f"https://replicate.delivery{text}/"):
        verdict = judge_url(link, HOSTS, SANDBOX)
        if isinstance(verdict, Allowed):
            assert verdict.origin.host.endswith("replicate.delivery") or verdict.origin == SANDBOX

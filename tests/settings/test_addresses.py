import pytest

from gateway.settings.addresses import problem_with_redis


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache:6379/2",
        "redis+sentinel://a:26379,b:26379,c:26379/images/2",
        "rediss+cluster://user:word@a:7000,b:7001",
        "unix:///run/redis.sock",
        "embedded://",
    ],
)
def test_one_host_or_several_each_with_a_port_make_an_address_of_a_redis(url: str) -> None:
    assert problem_with_redis(url, may_hold_password=True) is None


@pytest.mark.parametrize("url", ["redis+sentinel://a:26379,b:x/images", "http://a", "redis+cluster://a:1,b:70000"])
def test_what_is_no_address_of_a_redis_is_told_so(url: str) -> None:
    assert problem_with_redis(url, may_hold_password=True) is not None


def test_a_password_among_several_hosts_is_a_secret() -> None:
    assert problem_with_redis("redis+cluster://u:p@a:1,b:2", may_hold_password=False) is not None

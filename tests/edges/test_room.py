"""Images in memory: bounded in number and time, and never another's bytes."""

from gateway.edges.room import PLACE_BYTES, Room

PLACES = 8


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def put(room: Room, name: str, content: bytes) -> bool:
    place = room.place()
    if place is None:
        return False
    place[: len(content)] = content
    room.keep(name, place, len(content))
    return True


def test_what_was_kept_is_read_once_and_its_place_used_again() -> None:
    room = Room(Clock())
    content = bytes(range(256)) * 8000
    for number in range(3 * PLACES):
        name = f"image {number}"
        assert put(room, name, content[number:])
        known = room.facts_of(name)
        assert known is not None
        assert known[0] == len(content) - number
        assert b"".join(room.chunks(name)) == content[number:]
        assert room.facts_of(name) is None
        assert list(room.chunks(name)) == []


def test_there_are_so_many_places_and_no_more_until_one_is_free() -> None:
    room = Room(Clock())
    assert [put(room, str(number), b"x") for number in range(PLACES + 1)] == [True] * PLACES + [False]
    room.drop("3")
    assert [put(room, "more", b"y"), put(room, "too many", b"z")] == [True, False]
    given = Room(Clock()).place()
    assert given is not None
    assert len(given) == PLACE_BYTES
    room.give_back(given)
    assert put(room, "after all", b"z")


def test_what_nobody_came_for_is_gone_after_a_while_and_makes_room() -> None:
    clock = Clock()
    room = Room(clock)
    for number in range(PLACES):
        put(room, str(number), b"x")
    clock.now_s += 6
    assert room.facts_of("7") is None
    assert [put(room, f"new {number}", b"y") for number in range(PLACES + 1)] == [True] * PLACES + [False]
    assert [room.facts_of(str(number)) for number in range(PLACES)] == [None] * PLACES


def test_a_reader_whose_image_goes_meanwhile_stops_instead_of_reading_the_next_one() -> None:
    room = Room(Clock())
    put(room, "first", b"1" * 1_000_000)
    chunks = room.chunks("first")
    read = next(chunks)
    room.drop("first")
    put(room, "second", b"2" * 1_000_000)
    assert list(chunks) == []
    assert set(read) == {ord("1")}
    assert b"".join(room.chunks("second")) == b"2" * 1_000_000


def test_an_image_is_found_under_its_new_name_only_and_a_double_frees_its_place() -> None:
    room = Room(Clock())
    put(room, "spooled", b"one")
    room.rename("spooled", "stored")
    assert room.facts_of("spooled") is None
    put(room, "spooled again", b"two")
    room.rename("spooled again", "stored")
    room.rename("never seen", "stored")
    assert b"".join(room.chunks("stored")) == b"two"
    assert [put(room, str(number), b"x") for number in range(PLACES + 1)] == [True] * PLACES + [False]

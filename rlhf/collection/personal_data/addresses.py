"""Addresses of machines and mailboxes, and keys: what stands between people and the services that know them."""

import ipaddress
import re
from collections.abc import Iterator

from rlhf.collection.personal_data.found import Found, before
from rlhf.secrets.shapes import KEYS

SCRIPTS_WITHOUT_SPACES = r"\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"  # a word in them ends where an address begins
NAME = rf"(?:[^\W{SCRIPTS_WITHOUT_SPACES}]|[.+%-])"
LABEL = rf"(?:[^\W_{SCRIPTS_WITHOUT_SPACES}]|-)"
LETTER = rf"[^\W\d_{SCRIPTS_WITHOUT_SPACES}]"
MAILBOX = re.compile(rf"{NAME}{{1,64}}\Z")
HOST = re.compile(rf"(?:{LABEL}{{1,63}}\.){{1,8}}(?:{LETTER}{{2,24}}|xn--{LABEL}{{1,59}})(?!{LABEL}|_)")
BRACKETED_AT = re.compile(r"[\[(] ?(?:at|AT|At|@|a) ?[\])]")
DOT = r"(?i: ?[\[(] ?(?:dot|\.) ?[\])] ?| dot |\.)"
BEFORE_AT = re.compile(rf"{NAME}{{1,64}} ?\Z")
AFTER_AT = re.compile(rf" ?{LABEL}{{1,63}}(?:{DOT}{LABEL}{{1,63}}){{0,4}}{DOT}{LETTER}{{2,24}}(?!{LABEL}|_)")
IN_WORDS = re.compile(
    rf"(?<![\w.])(?P<name>{NAME}{{2,64}}) at (?P<host>{LABEL}{{2,63}})"
    r" dot (?P<end>com|org|net|edu|de|fr|cn|io|me|co dot uk)\b",
    re.IGNORECASE,
)
PROVIDERS = {"gmail", "hotmail", "outlook", "yahoo", "icloud", "protonmail", "proton", "aol", "gmx", "live", "mail"}

RESERVED_HOST = re.compile(r"(?:^|\.)(?:example(?:\.(?:com|org|net|edu))?|test|invalid|localhost|local)\Z")  # RFC 2606
INVENTED_HOST = re.compile(
    r"^(?:.*\.)?(?:(?:your|my)?-?(?:domain|company|website|site|organization|school|university|business)(?:name)?"
    r"|x{2,}|abc|xyz|email|test|foo|bar)\.(?:com|org|net|edu)\Z"
)
INVENTED_NAME = re.compile(
    r"^(?:(?:your|my)[._-]?\w{0,20}|user(?:name)?\d{0,3}|name|someone|somebody|email|e-mail|x{2,}|abc|foo|bar"
    r"|example|test\d{0,3}|recipient|sender|(?:john|jane)[._-]?(?:doe|smith)\d{0,4}|j\.?doe|git|no-?reply|do-?not-?reply|postmaster)\Z"
)

IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)", re.ASCII)
IPV6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,34}(?![\w:])", re.ASCII)  # global unicast
RESOLVERS = {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "1.2.3.4"}  # known to all
OF_MACHINE = re.compile(
    r"(?:\bip\b|\baddress|\bhost|\bserver|\bping|\bdns\b|\blogin|\blogged|\bfrom|\bat|地址|服务器|登录|连接"
    r"|https?:/)[^\n]{0,16}\Z",
    re.IGNORECASE | re.ASCII,
)
OF_VERSION = re.compile(
    r"(?:\bv|version|release|\bgit|§|section|chapter|clause|paragraph|appendix|figure|fig\.|table|article|build"
    r"|firmware|kernel|driver|update|版本|章|节)"
    r"[^\n\d]{0,12}(?:[\d.]{1,16}[^\n\d]{1,6})?\Z",
    re.IGNORECASE | re.ASCII,
)
SMALL = 30  # four numbers below it are rather a version's or a section's

MAC = re.compile(
    r"(?<![\w:-])[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}(?![\w:-])"
    r"|(?<![\w.])[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![\w.])",
    re.ASCII,
)
EXAMPLE_MACS = ("00005e0053", "001122334455", "aabbccddeeff", "123456789abc", "deadbeef", "010203040506")


def emails(text: str) -> Iterator[Found]:
    """Yield e-mail addresses: a mailbox, an @ (or [at]), and a host whose last label is letters."""
    place = text.find("@")
    while place >= 0:
        name, host = MAILBOX.search(text, max(place - 64, 0), place), HOST.match(text, place + 1)
        if name and host:
            yield Found(name.start(), host.end(), _is_invented(name.group(), host.group()))
        place = text.find("@", place + 1)
    for at in BRACKETED_AT.finditer(text):
        name, host = BEFORE_AT.search(text, max(at.start() - 65, 0), at.start()), AFTER_AT.match(text, at.end())
        if name and host:
            plain = re.sub(DOT, ".", host.group().strip())
            yield Found(name.start(), host.end(), _is_invented(name.group().strip(), plain))
    if " dot " in text:
        for match in IN_WORDS.finditer(text):
            if match["host"].lower() in PROVIDERS or re.search(r"[\d._]", match["name"]):
                host = f"{match['host']}.{match['end'].replace(' dot ', '.')}"
                yield Found(match.start(), match.end(), _is_invented(match["name"], host))


def _is_invented(name: str, host: str) -> bool:
    name, host = name.lower().strip(".-"), host.lower()
    return any(
        (RESERVED_HOST.search(host), INVENTED_HOST.match(host), INVENTED_NAME.match(name), name == host.split(".")[0])
    )


def ip_addresses(text: str) -> Iterator[Found]:
    """Yield the public addresses of machines; private ones and those for documents (RFC 1918, 5737, 3849) are none."""
    for match in IPV4.finditer(text):
        address, earlier = _public(match.group()), before(text, match.start(), 40)
        if address is None or OF_VERSION.search(earlier):
            continue
        if max(address.packed) >= SMALL or OF_MACHINE.search(earlier):
            yield Found(match.start(), match.end(), match.group() in RESOLVERS)
    if ":" in text:
        for match in IPV6.finditer(text):
            if _public(match.group().rstrip(":")) is not None:
                yield Found(match.start(), match.start() + len(match.group().rstrip(":")))


def _public(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return parsed if parsed.is_global and not parsed.is_multicast else None


def mac_addresses(text: str) -> Iterator[Found]:
    """Yield the hardware addresses of a text; digits alone with hyphens are rather a date and a number."""
    for match in MAC.finditer(text):
        digits = re.sub(r"[.:-]", "", match.group()).lower()
        if len(set(digits)) > 2 and (match[1] == ":" or re.search("[a-f]", digits)):
            yield Found(match.start(), match.end(), digits.startswith(EXAMPLE_MACS))


def keys(text: str) -> Iterator[Found]:
    """Yield tokens, keys and private keys by their shapes."""
    for prefix, shape in KEYS.items():
        if prefix in text:
            for match in shape.finditer(text):
                shown = match.group().lower()
                yield Found(match.start(), match.end(), "example" in shown or "xxxx" in shown or "your" in shown)

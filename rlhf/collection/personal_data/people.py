"""What tells of a person in words: handles, dates of birth, and where somebody lives. Only what words announce counts.

A name in a text is not sought: no pattern tells a private person's from others.
"""

import re
from collections.abc import Iterator

from rlhf.collection.personal_data.found import Found, before

PLATFORM = r"twitter|instagram|telegram|snapchat|discord|wechat|twitch|微信|微博|抖音|小红书|推特|(?<![a-z])qq"
AT_NAME = re.compile(r"(?<![\w@/.])@[A-Za-z_][\w.]{2,29}(?<!\.)(?![\w@(])", re.ASCII)
ANNOUNCING_NAME = re.compile(
    rf"(?:\b(?:my|me|his|her|him|reach|I am|I'm)\b[^\n@.;!?]{{0,16}}(?:{PLATFORM})[^\n@.;!?]{{0,16}}"
    rf"|我[^\n@。；！？]{{0,6}}(?:{PLATFORM})[^\n@。；！？]{{0,6}}"
    r"|\b(?:follow|dm|message|add|find) me[^\n@.;!?]{0,16}"
    r"|\bmy (?:handle|username)[^\n@.;!?]{0,12})\Z",
    re.IGNORECASE | re.ASCII,
)
NAME_ON = re.compile(
    rf"(?:\b(?:my|his|her|our)|我的?|他的?|她的?|加我?)[ ]?(?:{PLATFORM})"
    r"(?: ?(?:handle|account|username|user name|name|id|号码?|账号|名))?(?: is|[:：]|是|为)"
    r"[ ]?[\"“']?(?P<name>(?=[\w.#-]{0,31}[\d_#.-])[A-Za-z\d][\w.#-]{3,31}(?<![.-]))",
    re.IGNORECASE | re.ASCII,
)
CHINESE_ACCOUNT = re.compile(
    r"(?:微信号?|[Qq][Qq]号?码?|WeChat)(?: ?ID)?(?: ?[:：是为] ?)(?P<name>[1-9]\d{5,10}|[A-Za-z][\w-]{5,19})(?![\w-])",
    re.ASCII,
)

MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
DATE = (
    rf"(?:\d{{1,4}}[-/.]\d{{1,2}}[-/.]\d{{1,4}}|\d{{4}} ?年 ?\d{{1,2}} ?月 ?\d{{1,2}} ?[日号]"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {MONTH}\.?,? \d{{4}}|{MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})"
)
BIRTH_DATE = re.compile(
    r"(?:\bdate of birth|\bbirth ?date|\bdob\b|\bmy birthday|\bI was born|\bI am born|\bI'm born"
    r"|出生日期|出生年月日?|我的?生日|我出生[于在]|我是)"
    rf"(?: is| was| on|[ :：是为]){{0,4}}(?P<date>{DATE})(?!\d)",
    re.IGNORECASE | re.ASCII,
)

STREET = (
    r"(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|way|place|pl|terrace|crescent|close"
    r"|gardens|square|parkway|highway)"
)
HOME = re.compile(
    r"(?:\b(?:I|we|he|she|they) (?:currently |now |still )?lives? (?:at|on|in)"
    r"|\b(?:my|his|her|our)(?: home| postal| mailing| new)? address(?: is|:)"
    r"|\bhome address(?: is|:)|\b(?:ship|send)(?: it| this| them)? to(?: me at)?|\bI(?: am|'m) at)[: ]{1,2}"
    rf"(?P<place>\d{{1,5}}[a-z]? (?:[\w'.-]{{1,20}} ){{1,4}}{STREET}\b\.?"
    r"(?:,? (?:apt|apartment|unit|flat|suite|#)\.? ?\w{1,5})?"
    r"(?:, ?[A-Z][\w ]{1,24})?(?:,? [A-Z]{2})?(?: \d{5}(?:-\d{4})?)?)",
    re.IGNORECASE,
)
CHINESE_HOME = re.compile(
    r"(?:我们?家?住在?|我家在|家庭(?:住址|地址)|(?:住址|收货地址|我的地址)(?:[:：是为]|就是))[ ]?"
    r"(?P<place>[\u4e00-\u9fff\d]{2,30}?(?:路|街|道|巷|弄|小区|胡同|村)[\u4e00-\u9fff\d-]{0,12}?"
    r"\d+(?:-\d+)?(?:号楼?|栋|幢|室|弄|单元)(?:[\d-]{1,6}(?:号|室|单元|栋)?)*)"
)
INVENTED_PLACE = re.compile(r"\b123\d* (?:main|elm|oak|any)\b|anytown|baker street", re.IGNORECASE)


def handles(text: str) -> Iterator[Found]:
    """Yield the names of accounts that a text says are somebody's."""
    for match in AT_NAME.finditer(text) if "@" in text else ():
        if ANNOUNCING_NAME.search(before(text, match.start(), 60)):
            yield Found(match.start(), match.end(), _is_any(match.group()[1:]))
    for pattern in (NAME_ON, CHINESE_ACCOUNT):
        for match in pattern.finditer(text):
            yield Found(match.start("name"), match.end("name"), _is_any(match["name"]))


def _is_any(name: str) -> bool:
    return re.match(r"(?:your|user|name|handle|example|johndoe|janedoe|12345|x{2,})", name, re.IGNORECASE) is not None


def birth_dates(text: str) -> Iterator[Found]:
    yield from (Found(match.start("date"), match.end("date")) for match in BIRTH_DATE.finditer(text))


def home_addresses(text: str) -> Iterator[Found]:
    for pattern in (HOME, CHINESE_HOME):
        for match in pattern.finditer(text):
            yield Found(match.start("place"), match.end("place"), INVENTED_PLACE.search(match["place"]) is not None)

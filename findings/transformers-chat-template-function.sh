#!/bin/sh
# transformers 5.23.0: apply_chat_template turns a function that is passed to a template into text. A template that calls
# `strftime_now`, which transformers itself defines, writes today's date; passed another `strftime_now` by keyword, to fix
# the date, it ends in "'str' object is not callable": the template sees the text "<function>". Numbers, lists and texts
# arrive as they are.
#
# Versions: transformers 5.23.0 with jinja2 3.1.6, Python 3.11. The script exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3 jinja2==3.1.6

cat > ask.py <<'PYTHON'
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))


def rendered(template, **more):
    tokenizer.chat_template = template
    return tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False, **more)


def fixed(form):
    return "01 Jan 2026"


print("its own:", rendered("{{ strftime_now('%Y') }}"))
print("passed: ", rendered("{{ strftime_now is string }} {{ strftime_now }}", strftime_now=fixed))
assert rendered("{{ given + 1 }} {{ others[1] }}", given=2, others=[3, 4]) == "3 4"
assert rendered("{{ strftime_now is string }} {{ strftime_now }}", strftime_now=fixed) == "True <function>"
try:
    rendered("{{ strftime_now('%Y') }}", strftime_now=fixed)
except TypeError as error:
    print("called: ", error)
    assert str(error) == "'str' object is not callable"
else:
    raise SystemExit("the function was called")
PYTHON
venv/bin/python ask.py

#!/bin/sh
# transformers 5.23.0: whether the hub was reachable is saved with a tokenizer. Read with HF_HUB_OFFLINE=1 and saved again,
# its tokenizer_config.json says `"local_files_only": true`, without it `false`: the same tokenizer has two different
# files (and two md5 sums in a pipeline that versions its data), though no file of the hub had a part in it.
#
# Versions: transformers 5.23.0 with tokenizers 0.23.3, Python 3.11. The script exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3

cat > make.py <<'PYTHON'
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

made = Tokenizer(models.WordLevel({"[UNK]": 0, "red": 1, "fox": 2}, unk_token="[UNK]"))
made.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]").save_pretrained("made")
PYTHON
cat > again.py <<'PYTHON'
import sys
from transformers import AutoTokenizer

AutoTokenizer.from_pretrained("made").save_pretrained(sys.argv[1])
PYTHON
venv/bin/python make.py
HF_HUB_OFFLINE=0 venv/bin/python again.py online
HF_HUB_OFFLINE=1 venv/bin/python again.py offline
cmp online/tokenizer.json offline/tokenizer.json
if cmp --quiet online/tokenizer_config.json offline/tokenizer_config.json; then echo "the two are equal"; exit 1; fi
diff online/tokenizer_config.json offline/tokenizer_config.json || true
grep --quiet '"local_files_only": false' online/tokenizer_config.json
grep --quiet '"local_files_only": true' offline/tokenizer_config.json

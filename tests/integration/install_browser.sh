#!/bin/sh
# Makes sure that Chromium and its driver are there; installs the Debian packages when it may.
set -eu
found() { command -v chromium >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1; }
found && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing chromium and chromium-driver with apt-get"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
    found && exit 0
fi
echo "make integration needs the commands chromium and chromedriver. On Debian: apt-get install chromium chromium-driver" >&2
exit 1

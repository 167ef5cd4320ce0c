#!/bin/sh
# Makes sure that Chromium and its driver, PostgreSQL and sshd are there; installs the Debian packages when it may.
set -eu
PATH="$PATH:/usr/sbin"
missing() {
    command -v chromium >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1 || echo chromium chromium-driver
    command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql
    command -v sshd >/dev/null 2>&1 && command -v ssh-keygen >/dev/null 2>&1 || echo openssh-server openssh-client
}
wanted=$(missing)
[ -z "$wanted" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing with apt-get:" $wanted
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >/dev/null
    wanted=$(missing)
    [ -z "$wanted" ] && exit 0
fi
echo "make integration needs programs of these packages. On Debian: apt-get install" $wanted >&2
exit 1

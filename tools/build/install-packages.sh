#!/bin/sh
# install-packages.sh KIND... - installs the Debian packages of those kinds (packages.txt) that are
# missing. Needs root only when something is missing.
dir=$(dirname "$0")
want=$(for k in "$@"; do awk -v k="$k" '$1 == k { print $2 }' "$dir/packages.txt"; done)
missing=
for p in $want; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "These packages are missing:$missing" >&2
		echo "Install them as root: apt-get install$missing" >&2
		exit 1
	}
	sudo=sudo
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null || {
	echo "apt-get could not install:$missing" >&2
	echo "Check the network and /etc/apt/sources.list, then run this again." >&2
	exit 1
}

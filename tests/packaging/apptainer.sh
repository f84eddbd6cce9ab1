#!/usr/bin/env bash
# The Apptainer definition without Apptainer: its %files and %post in the bare Debian that it starts from, made by
# debootstrap, and then its %runscript there. Needs root and the network. Arguments: the repository, a work folder.
set -euo pipefail
repository=$1 root=$2
definition=$repository/packaging/apptainer/lockstep.def
not_run() { echo "FAILED, NOT RUN: $*"; exit 1; }
[ "$(id -u)" = 0 ] || not_run "a root folder of Debian needs root"
command -v debootstrap > /dev/null || not_run "there is no debootstrap"
section() { sed -n "/^%$1\$/,/^%/p" "$definition" | grep -v '^%' | sed 's/^    //'; }

rm -rf --one-file-system "$root"
mkdir -p "$root"
release=$(sed -n 's/^From: debian://p' "$definition")
[ "$release" = 12 ] || not_run "debian:$release is not known here"
debootstrap --variant=minbase bookworm "$root" > "$root.log" 2>&1 || { tail -n 20 "$root.log"; exit 1; }
cleanup() { umount "$root/proc" 2> /dev/null || true; rm -rf --one-file-system "$root"; }
trap cleanup EXIT
mount -t proc proc "$root/proc"
cp /etc/resolv.conf "$root/etc/resolv.conf"

while read -r from to; do
  [ -n "$from" ] || continue
  mkdir -p "$(dirname "$root$to")"
  cp -r "$repository/$from" "$root$to"
done < <(section files)
inside() {
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} chroot "$root" sh -c "$@"
}
inside "$(section post)" || { echo "FAILED: %post"; exit 1; }
[ ! -e "$root/usr/src/lockstep" ] || { echo "FAILED: the source is left in the image"; exit 1; }
inside "$(section environment)
$(section runscript)" lockstep --version | grep '^lockstep ' || { echo "FAILED: %runscript"; exit 1; }
echo "ok: the image's root folder has $(du -sm "$root" | cut -f 1) MiB"

#!/usr/bin/env bash
# Six novels by Jane Austen (4.0 MB of plain English, in the public domain) from the Debian package
# r-cran-janeaustenr, which is neither installed nor needs R.
#
#   scripts/fetch_novels.sh [FOLDER]     default: datasets/novels
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(realpath -m "${1:-$here/../datasets/novels}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if ! apt-get -q -o APT::Sandbox::User=root download r-cran-janeaustenr > log 2>&1; then
  cat log >&2
  echo "fetch_novels.sh: apt-get could not download r-cran-janeaustenr; is there a network, and was" \
       "'apt-get update' run? Any text files will do in the novels' place." >&2
  exit 2
fi
dpkg -x r-cran-janeaustenr_*.deb package
/usr/bin/python3 "$here/read_rdb.py" package/usr/lib/R/site-library/janeaustenr/data/Rdata texts
total=$(cat texts/*.txt | wc -c)
[ "$(ls texts | wc -l)" -eq 6 ] && [ "$total" -gt 3900000 ] || {
  echo "fetch_novels.sh: the package holds other texts than six novels: $(ls texts)" >&2
  exit 3
}
mkdir -p "$out"
cp texts/*.txt "$out"
wc -lc "$out"/*.txt

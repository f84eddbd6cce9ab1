#!/usr/bin/env bash
# Pages of made-up runs: what is refused, what they hold, and how a headless Chromium shows them.
# Arguments: the program, a work folder.
set -euo pipefail
program=$1 work=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rm -rf "$work"
mkdir -p "$work"
cd "$work"
/usr/bin/python3 "$here/make_runs.py" runs

refuses() {  # exit code, words of the sentence, folders
  local code=$1 words=$2 got=0
  shift 2
  "$program" report "$@" --out refused.html > said 2>&1 || got=$?
  if [ "$got" -ne "$code" ] || ! grep -q "$words" said || [ "$(wc -l < said)" -ne 1 ] || [ -e refused.html ]; then
    echo "FAILED: report $* ended with $got, expected $code and one sentence with '$words':"
    cat said
    exit 1
  fi
  echo "ok: $*: $words"
}
mkdir empty
cp -r runs/one cut && echo '{"name": "x", "ranks"' > cut/run.json
cp -r runs/one torn && sed -i '3s/.*/{"step": 150, "lo/' torn/metrics.jsonl
cp -r runs/one bent && sed -i '2s/"compute": \[[^]]*\]/"compute": []/' bent/profile.jsonl
cp -r runs/one odd && echo '{"attempts": 3}' > odd/usage.json
refuses 2 "there is no folder absent" absent
refuses 2 "empty holds no run" empty
refuses 2 "is no folder" runs/one/metrics.jsonl
refuses 3 "cut/run.json is no record of a run" cut
refuses 3 "torn/metrics.jsonl, line 3" runs/one torn
refuses 3 "bent/profile.jsonl, line 2" bent
refuses 3 "odd/usage.json" odd

cp -r runs/two running
printf '{"step": 1700, "ep' >> running/metrics.jsonl
printf '{"step": 1700' >> running/profile.jsonl
hostile=$(find runs -mindepth 1 -maxdepth 1 -name '*script*')
"$program" report running --out running.html
"$program" report runs/one --out one.html
"$program" report runs/one runs/two runs/four --out series.html
"$program" report runs/one runs/weak --out weak.html
"$program" report "$hostile" --out hostile.html
"$program" report runs/long --out long.html
"$program" report runs/old --out old.html
/usr/bin/python3 "$here/check_values.py" .
/usr/bin/python3 "$here/check_looks.py" .

#!/usr/bin/env bash
# Checks the rules of docs/architecture.md on the sources: who may include whom, who may call MPI, HDF5,
# CLI11 and TOML, and which compiler flags are banned. Argument: the repository. Prints each breach.
set -euo pipefail
cd "${1:?usage: dependencies.sh REPOSITORY}"
breaches=0
breach() { echo "breach: $*"; breaches=$((breaches + 1)); }

order=(core device comm ops nn optim data parallel train plan serve doctor bench report config app)
rank_of() { for i in "${!order[@]}"; do [ "${order[$i]}" = "$1" ] && { echo "$i"; return; }; done; echo -1; }

# A component includes only itself and components above it in the list.
while IFS=: read -r file included; do
  component=$(sed -E 's#^(src|include/lockstep)/([a-z]+)/.*#\2#' <<< "$file")
  mine=$(rank_of "$component"); theirs=$(rank_of "$included")
  [ "$mine" -ge 0 ] || breach "$file lies in no known component"
  [ "$theirs" -le "$mine" ] || breach "$file ($component) includes $included, which comes after it"
  case "$component:$included" in
    data:optim | data:nn | optim:data | optim:nn | nn:data | nn:optim) breach "$file: $component and $included do not know each other" ;;
    nn:comm | ops:comm | optim:comm) breach "$file: $component must not see ranks" ;;
    comm:ops | comm:nn) breach "$file: comm must not see a model" ;;
  esac
done < <(grep -rHoE '#include "(lockstep/)?[a-z]+/' src include --include='*.h' --include='*.cpp' --include='*.inl' |
         sed -E 's/:#include "(lockstep\/)?([a-z]+)\//:\2/' | grep -vE ':(oneapi)$' | sort -u)

only() {  # pattern, allowed folders (regex), what
  while read -r file; do
    grep -qE "^(src|include/lockstep)/($2)/" <<< "$file" || breach "$file: only $2 may $3"
  done < <(grep -rlE "$1" src include --include='*.h' --include='*.cpp' || :)
}
only '#include <mpi\.h>' 'comm' 'call MPI'
only '#include <hdf5\.h>' 'data|train' 'call HDF5'
only '#include <CLI/' 'app|config' 'know CLI11'
only '#include <toml\+\+/' 'app|config' 'know the TOML parser'
only '#include <oneapi/dnnl' 'ops' 'call oneDNN'

# Flags that change what floating-point code means.
banned='-(ffast-math|Ofast|funsafe-math|fassociative-math|freciprocal-math|ffinite-math-only|fno-signed-zeros)'
if find . \( -path './build*' -o -path ./.git \) -prune -o \( -name CMakeLists.txt -o -name '*.cmake' \) -print0 |
     xargs -0 grep -nE -e "^[^#]*$banned"; then
  breach "a banned floating-point flag"
fi
for commands in build*/compile_commands.json; do
  [ -f "$commands" ] || continue
  if grep -qE -e "$banned" "$commands"; then breach "$commands: a banned flag"; fi
  if grep '"command"' "$commands" | grep -vq -e '-ffp-contract=off'; then breach "$commands: -ffp-contract=off is missing"; fi
done

# Sizes of files: one idea each.
while read -r lines file; do
  [ "$file" = total ] || [ "$lines" -le 400 ] || breach "$file has $lines lines; a second idea has moved in"
done < <(find src include -name '*.cpp' -o -name '*.h' -o -name '*.inl' | xargs wc -l)

[ $breaches -eq 0 ] && echo "all dependency rules hold"
exit $((breaches > 0))

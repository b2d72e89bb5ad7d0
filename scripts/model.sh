#!/bin/bash
# SPDX-License-Identifier: MIT
# The models of spec/model, all states of them, by spin: model.sh [NAME…]; without a fault nothing may be found, and each deliberate
# fault must be. Prints a line of TAP for each, with the states that were seen.
. "$(dirname "$0")/lib.sh"
cd "$TREE/spec/model" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
n=0 bad=0

# verify MODEL FAULT: "CLAIM STATES ERRORS" a line
verify() {
  local claim fair
  cp "$1.pml" "$work/" && (
    cd "$work" && rm -f pan* && spin "-DFAULT=$2" -a "$1.pml" >spin.out 2>&1 && gcc -O2 -w -DCOLLAPSE -DNFAIR=3 -o pan pan.c || { cat spin.out >&2; exit 1; }
    for claim in $(sed -n 's/^ltl \([a-z_]*\) .*/\1/p' "$1.pml"); do
      fair=
      if grep -q "^ltl $claim .*<>" "$1.pml"; then fair=-f; fi
      ./pan -a $fair -n -m1000000 -N "$claim" >out 2>&1
      echo "$claim $(awk '/states, stored/ { print $1; exit }' out) $(sed -n 's/.*errors: \([0-9]*\).*/\1/p' out)"
    done
  )
}
tell() { # OK TEXT
  n=$((n + 1))
  if [ "$1" = 1 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; bad=1; fi
}

for file in *.pml; do
  model=${file%.pml}
  [ $# = 0 ] || [[ " $* " == *" $model "* ]] || continue
  while read -r claim states errors; do
    tell "$([ "$errors" = 0 ] && [ "${states%%.*}" -gt 1000 ] && echo 1)" "$model: $claim in $states states"
  done < <(verify "$model" 0)
  for fault in $(grep -o 'FAULT [!=]= [0-9]*' "$file" | grep -o '[1-9][0-9]*' | sort -u); do
    found=$(verify "$model" "$fault" | awk '$3 > 0' | wc -l)
    tell "$([ "$found" -gt 0 ] && echo 1)" "$model: fault $fault is found"
  done
done
exit $bad

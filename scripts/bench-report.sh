#!/bin/bash
# SPDX-License-Identifier: MIT
# bench-report.sh [DATE]: a page with plots, build/bench/DATE.html, of what `make bench` measured then; without a date of the newest.
# Needs gnuplot (Debian's gnuplot-nox).
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
raw=bench/results/${1:-[0-9]*}.tsv
# shellcheck disable=SC2086 # a pattern
raw=$(ls $raw 2>/dev/null | tail -n 1)
[ -n "$raw" ] || die "no raw data in bench/results: make bench makes some"
command -v gnuplot >/dev/null || die "gnuplot is not there: apt-get install gnuplot-nox"
name=$(basename "$raw" .tsv)
out=build/bench
mkdir -p "$out"
work=$(mktemp -d /tmp/sbt.XXXX) || exit 1
trap 'rm -rf "$work"' EXIT

# plot WHAT TITLE SIDE…: one box a build, user and side: the middle half, the median, and whiskers to 95 % of the values.
plot() {
  local what=$1 title=$2 n=0 list=
  shift 2
  : >"$work/boxes"
  for year in 2022 2024 2026; do
    for who in root user; do
      for side; do
        awk -F '\t' -v y="$year" -v w="$who" -v k="$what" -v s="$side" '$1 == y && $2 == w && $3 == k && $4 == s { print $6 }' "$raw" >"$work/box-$n"
        [ -s "$work/box-$n" ] || continue
        list="$list${list:+, }'$work/box-$n' using ($n):1 with boxplot notitle"
        printf '"%s %s %s" %d\n' "$year" "$who" "$side" "$n" >>"$work/boxes"
        n=$((n + 1))
      done
    done
  done
  [ "$n" -gt 0 ] || return 0
  gnuplot <<PLOT || exit 1
set terminal pngcairo size $((260 + 34 * n)),560 font "sans,11" background "white"
set output "$out/$name-${title// /-}.png"
set title "$title, ms"
set style boxplot fraction 0.95 nooutliers
set style fill solid 0.3
set boxwidth 0.6
set grid y
set logscale y
set xrange [-0.7:$n - 0.3]
set xtics rotate by -60 ($(awk '{ printf "%s%s", (NR > 1 ? ", " : ""), $0 }' "$work/boxes"))
plot $list
PLOT
  echo "<h2>$title</h2><img src='$name-${title// /-}.png' alt='$title'>" >>"$work/page"
}
plot cold "A cold run" ours floor bare sdk
plot warm "A program in a box" box:run floor "runsc exec" fork+exec
plot warm "A lease of a pool" pool:run "a prepared Python" "a prepared C program"
plot warm "Python" "a prepared Python" "sandbox.run{ python3 }"
{
  echo "<!doctype html><meta charset='utf-8'><title>sandbox, $name</title><h1>What was measured on $name</h1>"
  echo "<p>A box is the middle half of the values, its line the median, the whiskers hold 95 %. Logarithmic. The table is below.</p>"
  cat "$work/page"
  echo "<pre>"
  sed 's/&/\&amp;/g; s/</\&lt;/g' "bench/results/$name.txt" 2>/dev/null
  echo "</pre>"
} >"$out/$name.html"
echo "$out/$name.html"

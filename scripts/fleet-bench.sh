#!/bin/bash
# SPDX-License-Identifier: MIT
# fleet-bench.sh: what a fleet costs, and how far one broker goes (bench/fleet.lua); prints, and writes bench/results/fleet-DATE.txt, the
# simulation's points as fleet-DATE.tsv, and a plot of them, build/bench/fleet-DATE.png. fleet-bench.sh DATE makes the plot alone.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
command -v gnuplot >/dev/null || die "gnuplot is not there: apt-get install gnuplot-nox"
raw=bench/results/fleet-${1:-$(date +%Y-%m-%d)}
if [ $# = 0 ]; then
  scripts/deps.sh fleet || exit 1
  make --no-print-directory -s all || exit 1
  SANDBOX_RUNSC=$(find_runsc) || exit 1
  export SANDBOX_RUNSC LUA_PATH="lua/?.lua;lua/?/init.lua;;" LUA_CPATH="build/5.4/?.so;;" SANDBOX_BENCH_TSV=$raw.tsv
  mkdir -p bench/results
  printf '# brokers\tshare of a core\tworkers\tseconds of a job\tjobs/s offered\tjobs/s done\tbrokers idle, cores\tat work, cores\tworkers, cores\tload\n' >"$raw.tsv"
  lua5.4 bench/fleet.lua | tee "$raw.txt"
  [ "${PIPESTATUS[0]}" = 0 ] || exit 1
fi
[ -s "$raw.tsv" ] || die "there is no $raw.tsv"
mkdir -p build/bench
out=build/bench/$(basename "$raw").png
work=$(mktemp -d /tmp/sbt.XXXX) || exit 1
trap 'rm -rf "$work"' EXIT
for n in 1 2 4; do awk -F '\t' -v n=$n '$1 == n && $2 < 1' "$raw.tsv" | sort -n -k 3 >"$work/$n"; done
awk -F '\t' '$1 == 1 && $2 == 1' "$raw.tsv" >"$work/whole"
gnuplot <<PLOT || exit 1
set terminal pngcairo size 900,560 font "sans,11" background "white"
set output "$out"
set title "Jobs of two seconds on workers of one slot, brokers held to a part of a core"
set xlabel "workers"
set ylabel "jobs a second"
set xrange [0:1050]
set yrange [0:*]
set grid
set key left top
set style data linespoints
plot x / 2 with lines dashtype 2 linecolor "gray" title "offered", "$work/1" using 3:6 title "one broker", "$work/2" using 3:6 title "two", \
  "$work/4" using 3:6 title "four", "$work/whole" using 3:6 title "one, with a whole core"
PLOT
echo "$out"

#!/bin/bash
# What `cargo xtask gpu pack` packed, run on a machine with a Vulkan driver: no network, no cargo.
#
# usage: run.sh OUT [quick]    every part has its own limit of seconds, and a part that fails does not stop the next.
# In OUT: results.jsonl (a figure a line), gpu.md (the page), tests.log, measure.log, machine.txt.
PACK=$(cd "$(dirname "$0")" && pwd)
OUT=${1:?usage: run.sh OUT [quick]}
QUICK=$2
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd)
R=$OUT/results.jsonl
LOGS=$(mktemp -d)
: > "$R"
cd "$PACK/files" || exit 1
began=$(date +%s)

# The loader and the driver, where the machine has only the driver's own files.
if ! ldconfig -p | grep -q 'libvulkan\.so\.1'; then
    for deb in "$PACK"/gl/*.deb; do dpkg -x "$deb" /; done
    ldconfig
fi
nvidia=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
if [ -z "$VK_DRIVER_FILES" ] && [ -e $nvidia ] && ! ls /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json > /dev/null 2>&1; then
    export VK_DRIVER_FILES=$nvidia
fi
# The tests look for their files where they were built.
checkout=$(cat "$PACK/checkout")
if [ ! -e "$checkout" ]; then mkdir -p "$(dirname "$checkout")" && ln -s "$PACK/files" "$checkout"; fi
{ uname -a; nproc; (nvidia-smi || lscpu | head -20); ldconfig -p | grep -i vulkan; echo "VK_DRIVER_FILES=$VK_DRIVER_FILES"; ls -l "$checkout"; } > "$OUT/machine.txt" 2>&1

# part NAME LIMIT COMMAND...
part() {
    local name=$1 limit=$2 start code outcome
    shift 2
    start=$(date +%s.%N)
    timeout -k 5 "$limit" "$@" > "$LOGS/$name" 2>&1
    code=$?
    case $code in
        0) outcome=ok ;;
        124 | 137) outcome="stopped after $limit s" ;;
        *) outcome="failed, code $code" ;;
    esac
    local seconds
    seconds=$(echo "$start $(date +%s.%N)" | awk '{ printf "%.1f", $2 - $1 }')
    echo "{\"part\":\"tests\",\"name\":\"$name\",\"outcome\":\"$outcome\",\"seconds\":$seconds}" >> "$R"
}

# Without an adapter a test fails here instead of being skipped.
export CI=true RUST_BACKTRACE=0
test_limit=${TEST_LIMIT:-90}
part kernels "$test_limit" "$PACK/bin/kernels" --nocapture &
part parity "$test_limit" "$PACK/bin/parity" --nocapture gpu &
part reduction "$test_limit" "$PACK/bin/reduce" --nocapture gpu v9 proportional &
part pruning "$test_limit" "$PACK/bin/whittle" --nocapture prune::tests::device &
wait
for log in "$LOGS"/*; do echo "== $(basename "$log")"; tail -c 200000 "$log"; done > "$OUT/tests.log"

if python3 -c 'import torch' 2> /dev/null; then
    timeout -k 5 "${TORCH_LIMIT:-75}" python3 "$PACK/torch_peer.py" "$R" 55 $QUICK > "$OUT/measure.log" 2>&1
fi
timeout -k 5 "${MEASURE_LIMIT:-175}" "$PACK/bin/gpu" measure ${QUICK:+--quick} --seconds "${MEASURE_SECONDS:-165}" "$R" >> "$OUT/measure.log" 2>&1
echo "measure ended with code $?" >> "$OUT/measure.log"
timeout 20 "$PACK/bin/gpu" page "$OUT/gpu.md" "$R"
echo "== tests"
grep '"part":"tests"' "$R"
grep -hE "^test result|FAILED|panicked| > " "$LOGS"/* | head -40
echo "== $(wc -l < "$R") lines in results.jsonl, $(($(date +%s) - began)) s in all"

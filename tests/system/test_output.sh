#!/usr/bin/env bash
# Output arrives complete and unmixed: 100 MB of four ranks, lines of 1 MB, \r, binary bytes, no newline at the end, a closed stdout,
# through `mltrain run`, `mltrain logs` and `mltrain logs -f` started late; standard error stays apart.
. "$(dirname "$0")/common.sh"
mltrain cluster up >/dev/null || fail "up"

# 4 ranks of 25 MB: each line says its rank and its number, so that a lost, doubled or mixed line is seen by the checksum.
lines_of() { # RANK: what it writes
  awk -v rank="$1" 'BEGIN { text = sprintf("%100s", ""); gsub(" ", "x", text)
    for (i = 0; i < 220000; i++) printf "rank %d line %d %s\n", rank, i, text }'
}
cat >loud.awk <<'AWK'
BEGIN { rank = ENVIRON["RANK"]; text = sprintf("%100s", ""); gsub(" ", "x", text)
  for (i = 0; i < 220000; i++) printf "rank %d line %d %s\n", rank, i, text }
AWK
plain_job loud 2 2 "awk '$(cat loud.awk)'" >loud.yaml
begin=$SECONDS
mltrain run --keep loud.yaml >run.txt 2>err.txt || { cat err.txt; fail "the loud job"; }
echo "100 MB through run: $((SECONDS - begin)) s"
begin=$SECONDS
mltrain logs loud >logs.txt 2>err.txt || { cat err.txt; fail "logs of the loud job"; }
echo "100 MB through logs: $((SECONDS - begin)) s"
mltrain logs -f loud >follow.txt 2>err.txt || { cat err.txt; fail "logs -f of the loud job"; }
for rank in 0 1 2 3; do
  want=$(lines_of $rank | sha256sum)
  [ "$(sed -n "s/^\[rank $rank\] //p" run.txt | sha256sum)" = "$want" ] || fail "rank $rank through run: $(grep -c "^\[rank $rank\]" run.txt) lines"
  [ "$(sed -n "s/^\[rank $rank, attempt 1\] //p" logs.txt | sha256sum)" = "$want" ] || fail "rank $rank through logs: $(grep -c "^\[rank $rank," logs.txt) lines"
  [ "$(sed -n "s/^\[rank $rank, attempt 1\] //p" follow.txt | sha256sum)" = "$want" ] || fail "rank $rank through logs -f"
done
[ "$(wc -l <run.txt)" = 880000 ] && [ "$(wc -l <logs.txt)" = 880000 ] || fail "lines of nobody: $(wc -l run.txt logs.txt)"
[ "$(mltrain logs loud --rank 2 | sha256sum)" = "$(lines_of 2 | sha256sum)" ] || fail "logs --rank 2"
[ "$(mltrain logs loud --rank 2 --tail 3 | tail -n 1 | cut -c 1-18)" = "rank 2 line 219999" ] || fail "logs --tail"
[ "$(mltrain logs loud --tail 5 | wc -l)" = 5 ] || fail "--tail 5 of all ranks"
rm -f run.txt logs.txt follow.txt

# Odd lines, through all three ways.
cat >odd.sh <<'RANK'
printf 'first\n'
printf 'progress 1%%\rprogress 2%%\rprogress done\n'
printf '\n'
printf 'windows\r\n'
head -c 1000000 /dev/zero | tr '\0' 'L'; echo
printf 'binary \000\001\033[31m\377\376 end\n'
printf 'größe 大 🙂\n'
printf '[r7 a9] a rank that pretends to be another\n'
printf '[launcher] a rank that pretends to be the launcher\n'
echo "to stderr" >&2
exec 2>&-
printf 'no newline at the end'
exec >&-
sleep 0.5
RANK
plain_job odd 1 1 "$(cat odd.sh)" >odd.yaml
expected() {
  printf 'first\nprogress 1%%\nprogress 2%%\nprogress done\n\nwindows\n'
  head -c 1000000 /dev/zero | tr '\0' 'L'
  echo
  printf 'binary \000\001\033[31m\377\376 end\n'
  printf 'größe 大 🙂\n[r7 a9] a rank that pretends to be another\n[launcher] a rank that pretends to be the launcher\nno newline at the end\n'
}
mltrain run --keep -q odd.yaml >run.txt 2>err.txt || { cat err.txt; fail "the odd job"; }
expected >want.txt
sed 's/^\[rank 0\] //' run.txt | cmp - want.txt || { sed 's/^\[rank 0\] //' run.txt | cut -c 1-100 | cat -A; fail "odd lines through run"; }
[ "$(cat err.txt)" = "[rank 0] to stderr" ] || { cat err.txt; fail "standard error through run"; }
mltrain logs odd --rank 0 >logs.txt 2>err.txt || fail "logs of the odd job"
cmp logs.txt want.txt || { cut -c 1-100 logs.txt | cat -A; fail "odd lines through logs"; }
[ "$(cat err.txt)" = "to stderr" ] || { cat err.txt; fail "standard error through logs"; }

# Both into one pager: no line of the one in the middle of a line of the other.
plain_job mixed 1 1 'seq -f "to stdout %g" 2000; echo "to stderr" >&2; seq -f "to stdout %g" 2000' >mixed.yaml
mltrain run --keep -q mixed.yaml >run.txt 2>&1 || { tail run.txt; fail "the mixed job"; }
mltrain logs mixed --rank 0 >both.txt 2>&1
[ "$(grep -cxE 'to stdout [0-9]+' both.txt)" = 4000 ] || { grep -C 1 'to stderr' both.txt; fail "lines cut by standard error"; }
mltrain logs -f odd --rank 0 2>err.txt | cmp - want.txt || fail "odd lines through logs -f"

# A follower that comes late sees everything from the beginning, and what comes then, soon.
plain_job late 2 1 'for i in 1 2 3 4 5 6; do echo "line $i of $RANK"; sleep 0.5; done' >late.yaml
mltrain submit late.yaml >/dev/null || fail "submit"
mltrain wait late --for Running --timeout 20s >/dev/null || fail "late does not run"
sleep 1.2
mltrain logs -f late --rank 1 >late.txt &
follower=$!
eventually 2 grep -q 'line 2' late.txt || fail "logs -f began too late"
wait $follower || fail "logs -f: $?"
[ "$(tr '\n' ' ' <late.txt)" = "line 1 of 1 line 2 of 1 line 3 of 1 line 4 of 1 line 5 of 1 line 6 of 1 " ] || { cat late.txt; fail "logs -f lost lines"; }

# Who closes the pipe early ends mltrain, quietly, and not the job's record.
mltrain logs loud | head -n 3 >head.txt 2>err.txt
[ "$(wc -l <head.txt)" = 3 ] && [ ! -s err.txt ] || fail "logs into head"
plain_job talker 1 1 'while :; do echo word; sleep 0.1; done' >talker.yaml
mltrain submit talker.yaml >/dev/null || fail "submit"
mltrain wait talker --for Running --timeout 20s >/dev/null || fail "talker does not run"
timeout 10 bash -c 'set -o pipefail; mltrain logs -f talker | head -n 2' >head.txt 2>err.txt
rc=$?
[ $rc != 124 ] || fail "logs -f goes on although nobody reads"
[ "$(wc -l <head.txt)" = 2 ] && [ ! -s err.txt ] || { cat head.txt err.txt; fail "logs -f into head"; }
mltrain logs loud >/dev/full 2>err.txt && fail "a full disk is no error"
grep -qi "no space left" err.txt || { cat err.txt; fail "a full disk is not told"; }
mltrain run "$MLTRAIN_SOURCE_DIR/examples/hello/job.yaml" >/dev/full 2>err.txt && fail "run: a full disk is no error"
grep -q "No space left.*the job goes on" err.txt && tail -n 1 err.txt | finds "standard output:" || { cat err.txt; fail "run: a full disk is not told at once and at the end"; }
grep -q "standard output: " <(mltrain get 2>&1 >/dev/full) || fail "get: a full disk is no error"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The completion of troupe and trouped does what it says in a shell, and every command and option of
# the tables is in it, in --help and in the manual pages.
set -u
. "$(dirname "$0")/daemon.sh"
export COUNTER_FILE="$work/counts"
command -v bash >/dev/null || { echo 'bash is not installed'; exit 77; }
module counter
module tally
start --load "$work/counter.so" --load "$work/tally.so" --name far-1

cat >"$work/complete.bash" <<'END'
PATH=$1:$PATH
source <(troupe completion)
IFS= read -r line
read -ra COMP_WORDS <<<"$line"
[[ $line == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
if [[ ${COMP_WORDS[0]} == trouped ]]; then _trouped; else _troupe; fi
printf '%s\n' "${COMPREPLY[@]}"
END
# offers LINE WORD...: at its end the shell offers these and no others.
offers() {
    line=$1
    shift
    checks=$((checks + 1))
    printf '%s\n' "$line" | bash "$work/complete.bash" "$build" 2>"$work/err" | sort >"$work/out"
    printf '%s\n' "$@" | sort | cmp -s - "$work/out" || die "\"$line\" does not offer: $*"
    [ ! -s "$work/err" ] || die 'the completion complains'
}
# among LINE WORD: at its end the shell offers this, beside others.
among() {
    checks=$((checks + 1))
    printf '%s\n' "$1" | bash "$work/complete.bash" "$build" 2>"$work/err" >"$work/out"
    grep -qxF -- "$2" "$work/out" || die "\"$1\" does not offer $2"
}

offers 'troupe dis' discover
offers 'troupe help sna' snapshots
offers 'troupe ask --time' --timeout
offers 'troupe ask cou' counter/
offers 'troupe ask ' counter/ ledger/ tally/
offers 'troupe ask tally/1 sh' show
offers 'troupe ask tally@eu/1 add' add add_slowly
offers 'troupe ask tally/1 add ' ''
offers 'troupe tell --timeout 5s tally/1 se' set
offers 'troupe migrate tally/1 ' far-1
offers 'troupe snapshots cou' counter/
offers 'troupe stored le' ledger
offers 'troupe actors --type co' counter
offers 'troupe config --explain max_ac' max_actors
offers 'troupe completion ' bash zsh
offers "troupe lookup --socket $work/none cou" ''
unset TROUPE_SOCKET
offers "troupe lookup --socket $work/run/node.sock cou" counter/
offers 'troupe --connect 127.0.0.1 : 1 nod' nodes
offers "troupe config --check $work/cou" "$work/counter.so"
offers "trouped --load $work/tal" "$work/tally.so"
offers 'trouped --max_act' --max_actors
offers 'trouped --no_metrics --max_act' --max_actors
offers 'trouped --shards ' ''
export TROUPE_SOCKET="$work/run/node.sock"

# ---- nothing of the tables is missing anywhere ----------------------------------------------------

troupe help --man | sed 's/\\-/-/g' >"$work/troupe.man"
troupe help >"$work/troupe.help"
"$build/trouped" --man | sed 's/\\-/-/g' >"$work/trouped.man"
"$build/trouped" --help >"$work/trouped.help"
commands=$(sed -n '/^ *X(\([a-z]*\), "/s/^ *X(\([a-z]*\), .*/\1/p' "$source/cmd/troupe/commands.h")
[ "$(echo "$commands" | wc -l)" -gt 30 ] || die 'the commands were not read'
for command in $commands; do
    among 'troupe ' "$command"
    grep -qE "^  $command( |\$)" "$work/troupe.help" || die "help without $command"
    grep -qE "^troupe $command( |\$)" "$work/troupe.man" || grep -qE "^\.SS troupe $command( |\$)" "$work/troupe.man" ||
        die "the manual without $command"
    run 0 troupe help "$command"
    for option in $(sed -n 's/^  --\([a-z-]*\).*/\1/p' "$work/out"); do
        among "troupe $command --$option" "--$option"
    done
done
for option in $(sed -n 's/^ *X([A-Z_]*, "\([a-z-]*\)", .*/\1/p' "$source/cmd/troupe/commands.h"); do
    [ "$option" = help ] || grep -qE "^\.B --$option( |\$)" "$work/troupe.man" || die "the manual without --$option"
done
names=$(sed -n 's/^TP_\(LIVE_\|READ_\|\)OPTION(\([a-z_]*\),.*/\2/p' "$source/src/node/options.def" | grep -v driven)
flags=$(sed -n 's/^ *X("\([a-z-]*\)", .*/\1/p' "$source/cmd/shared/daemon_flags.h")
[ "$(echo "$names $flags" | wc -w)" -gt 65 ] || die 'the options were not read'
for name in $names $flags; do
    among "trouped --$name" "--$name"
    grep -qE "^  --$name " "$work/trouped.help" || die "trouped --help without --$name"
    grep -qE "^\.B --$name( |\$)" "$work/trouped.man" || die "its manual without --$name"
done

# ---- zsh, by its bashcompinit ----------------------------------------------------------------------

run 0 troupe completion zsh
sed 1d "$work/out" | bash -n || die 'it is no shell'
run 2 troupe completion fish
has err 'bash and zsh'
if command -v zsh >/dev/null; then
    PATH="$build:$PATH" zsh -fc 'autoload -U compinit && compinit -u -D; source <(troupe completion zsh)
        COMP_WORDS=(troupe dis) COMP_CWORD=1; [[ -n ${_comps[troupe]} ]]' || die 'zsh does not take it'
else
    echo 'zsh is not installed: its completion was only read as bash'
fi

echo "$checks checks"

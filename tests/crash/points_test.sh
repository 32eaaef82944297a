#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# points.def names every point of the runtime (TP_MARK), and none that is gone: a new one is one at
# which the town is killed, or says there why not. The same for the points of the town itself.
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)

perl -e '
    my (%named, %listed);
    for my $file (glob("'"$here"'/src/*/*.[ch] '"$here"'/tests/crash/town_points.c")) {
        open(my $in, "<", $file) or die "$file: $!";
        local $/;
        my $text = <$in>;
        while ($text =~ /\b(?:TP_MARK|town_point)\(([^;]*?)\);/gs) {
            my $call = $1;
            $named{$1} = 1 while $call =~ /"([^"]+)"/g;
        }
    }
    open(my $in, "<", "'"$here"'/tests/crash/points.def") or die "points.def: $!";
    while (<$in>) {
        next unless /^TOWN_(?:NO_)?POINT\("([^"]+)"/;
        print "FAILED: points.def has \"$1\" twice\n" if $listed{$1}++;
        $bad += $listed{$1} > 1;
    }
    for (sort keys %named) {
        next if $listed{$_};
        print "FAILED: points.def does not say whether the town is killed at \"$_\"\n";
        $bad++;
    }
    for (sort keys %listed) {
        next if $named{$_};
        print "FAILED: points.def has \"$_\", which no code names\n";
        $bad++;
    }
    print keys(%listed) . " points\n";
    exit($bad || keys(%named) < 60 ? 1 : 0);
'

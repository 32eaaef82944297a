#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A host's own loop drives a node, and no tick is lost.
set -eu
. "$(dirname "$0")/run_example.sh"

WANTED='^60000 ticks'
example game

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Actors of three nodes are where policies, labels and a function say.
set -eu
. "$(dirname "$0")/run_example.sh"

WANTED='^63 of 63 places are right'
example placement

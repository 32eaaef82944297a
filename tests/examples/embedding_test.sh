#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Two nodes in one process share nothing and give every byte back.
set -eu
. "$(dirname "$0")/run_example.sh"

WANTED='no byte lost$'
example embedding
